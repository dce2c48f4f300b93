"""Accuracy by skill: the share of answers that greedy decoding gets exactly right, on scenes never trained.

    python evaluate.py ATLAS.npz FOLDER REPORT.json [--gguf scene.gguf scene-mmproj.gguf] [--batches 12]

Every question is asked alone about its image, except in the table `as a chat`. Without --gguf the 16-bit weights in FOLDER are measured, and once more with
their matrices rounded to 8 and to 4 bits. An answer counts when every token, its end included, is the most likely one after
the right ones before it, which is the same as greedy decoding giving exactly this answer.
"""
import argparse
import json

import torch

import scenes
import tokens
from icons import COLOUR_SETS, TEST_SETS

HELD_OUT_SEED = 10 ** 12


@torch.no_grad()
def accuracy(model, renderer, tokenizer, colours="seen", styles=None, only=None, batches=2, size=256, restyle=False, counts=False, chats=0):
    """Percent right by skill (and the number asked under `questions`)."""
    encode = tokens.Encoder(tokenizer)
    right, asked = torch.zeros(len(scenes.SKILLS) + 1), torch.zeros(len(scenes.SKILLS) + 1)
    device = renderer.device
    styles = styles or COLOUR_SETS
    for number in range(batches):
        arrays, _ = tokens.batch(HELD_OUT_SEED + number, size, encode, colours, only, chats)
        row = {k: torch.from_numpy(v).to(device) for k, v in arrays.items()}
        image, _ = renderer(row["geometry"], None if restyle else styles)
        ids = row["ids"].long()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits, _ = model(image, ids, row["turn"], row["position"], row["chat"])
        good, turn, skill = (logits.argmax(-1) == ids).cpu(), row["turn"].cpu().long(), row["skill"].cpu().long()
        for t in range(1, int(turn.max()) + 1):
            answer = (turn == t) & (skill > 0)
            there = answer.any(1)
            of = skill.masked_fill(~answer, 0).max(1).values[there]
            asked += torch.bincount(of, minlength=len(asked))
            right += torch.bincount(of[(good | ~answer).all(1)[there]], minlength=len(asked))
    out = {s: round(100 * float(right[k] / asked[k].clamp_min(1)), 2) for k, s in enumerate(scenes.SKILLS, 1)}
    out["all"] = round(100 * float(right.sum() / asked.sum()), 2)
    out["questions"] = {s: int(asked[k]) for k, s in enumerate(scenes.SKILLS, 1)} if counts else int(asked.sum())
    return out


def rounded(model, bits):
    """A copy whose block matrices and embeddings went through 8-bit or 4-bit blocks of 32 with one scale, as Q8_0 and Q4_0 store them."""
    import copy
    out = copy.deepcopy(model)
    for name, p in out.named_parameters():
        language = name.startswith(("decoder", "embedding"))
        if p.ndim != 2 or not (language or name.startswith(("vision", "mm"))) or name == "position":
            continue
        blocks = p.data.float().reshape(-1, 32)
        if bits == 4 and language:
            peak = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
            scale = (peak / -8).half().float()
            q = torch.where(scale == 0, 0, (blocks / scale.masked_fill(scale == 0, 1) + 8.5).floor().clamp(0, 15) - 8)
        else:
            scale = (blocks.abs().amax(1, keepdim=True) / 127).half().float()
            q = torch.where(scale == 0, 0, (blocks / scale.masked_fill(scale == 0, 1)).round())
        p.data.copy_((q * scale).view_as(p))
    return out


def tables(model, renderer, tokenizer, batches, size):
    """All tables of the model card."""
    say = {}
    torch.manual_seed(1)
    common = dict(batches=batches, size=size)
    say["trained sets"] = accuracy(model, renderer, tokenizer, counts=True, **common)
    say["unseen combinations"] = accuracy(model, renderer, tokenizer, colours="unseen", counts=True, **common)
    for test in TEST_SETS:
        say[test] = accuracy(model, renderer, tokenizer, styles=[test], counts=True, **common)
    say["as a chat"] = accuracy(model, renderer, tokenizer, counts=True, chats=1, **common)
    for test in [None, *TEST_SETS]:
        naming = accuracy(model, renderer, tokenizer, styles=[test] if test else None, only=scenes.THING, counts=True, **common)
        say[f"naming things, {test or 'trained sets'}"] = dict(name=naming["name"], questions=naming["questions"]["name"])
    return say


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("atlas")
    parser.add_argument("folder")
    parser.add_argument("report")
    parser.add_argument("--gguf", nargs=2)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    a = parser.parse_args()
    from tokenizers import Tokenizer
    from model import Config, SceneModel
    from render import Renderer
    from train import load_weights
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = Tokenizer.from_file(f"{a.folder}/tokenizer.json")
    renderer = Renderer(a.atlas, device)
    report = {}
    if a.gguf:
        from export import load_gguf
        report["gguf"] = tables(load_gguf(*a.gguf).to(device), renderer, tokenizer, a.batches, a.size)
    else:
        model = SceneModel(Config())
        load_weights(model, a.folder)
        model = model.to(device)
        for name, m in (("16 bit", model), ("8 bit", rounded(model, 8)), ("4 bit language", rounded(model, 4))):
            report[name] = tables(m, renderer, tokenizer, a.batches, a.size)
    json.dump(report, open(a.report, "w"), indent=1)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
