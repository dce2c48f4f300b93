"""Ask the exported model about a picture, greedily, in PyTorch.

    python ask.py scene.gguf scene-mmproj.gguf PICTURE.png "What is in the picture?"
"""
import sys

import numpy as np
import torch

import export
from tokens import ASSISTANT, END, USER, Encoder


def tokenizer_of(path):
    """The tokenizer inside a language GGUF."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    fields, _ = export.read(path)
    names = fields["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({n: i for i, n in enumerate(names)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in export.SPECIAL])
    return tokenizer


@torch.no_grad()
def look(model, image):
    """The rows that stand for an image [3, S, S] in 0..1, with <|user|> before them."""
    return torch.cat([model.embedding.weight[[USER]], model.project(model.encode(image[None]))[0]])


@torch.no_grad()
def answer(model, tokenizer, seen, question, limit=80):
    """The answer to a question about what `look` returned, by greedy decoding."""
    ids = Encoder(tokenizer)(question) + [ASSISTANT]
    start = len(ids)
    while len(ids) - start < limit:
        rows = torch.cat([seen, model.embedding.weight[ids]])[None]
        causal = torch.full((rows.shape[1],) * 2, float("-inf")).triu(1)
        hidden = model.decode(rows, torch.arange(rows.shape[1])[None], causal)[0, -1]
        best = int((model.embedding.weight @ hidden).argmax())
        if best == END:
            break
        ids.append(best)
    return tokenizer.decode(ids[start:])


def main(language, vision, picture, question):
    from PIL import Image
    image = torch.from_numpy(np.array(Image.open(picture).convert("RGB").resize((192, 192)))).permute(2, 0, 1) / 255
    model = export.load_gguf(language, vision).eval()
    print(answer(model, tokenizer_of(language), look(model, image), question))


if __name__ == "__main__":
    main(*sys.argv[1:])
