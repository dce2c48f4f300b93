"""Write the trained model as two GGUF files, language and vision, and read them back.

    python export.py FOLDER OUT [--language Q4_0] [--vision Q8_0]     writes OUT/scene.gguf and OUT/scene-mmproj.gguf

Matrices are quantised, norms, biases and positions stay F32, the patch kernel F16. LLaVA's projector reads the layer before
the last, so a last vision block is added that nobody runs; it is all zeros, which is the identity for whoever does.
"""
import argparse
import json

import gguf
import numpy as np
import torch

from model import PATCH, Config, SceneModel
from render import IMAGE
from tokens import END, SPECIAL

CONTEXT = 1024
# System messages are dropped: the model knows only questions about the picture.
TEMPLATE = ("{% for message in messages %}{% if message['role'] == 'user' %}<|user|>{{ message['content'] }}"
            "{% elif message['role'] == 'assistant' %}<|assistant|>{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")
TYPES = {n: getattr(gguf.GGMLQuantizationType, n) for n in ("F32", "F16", "Q8_0", "Q4_0")}
LANGUAGE_NAMES = dict(norm1="attn_norm", norm2="ffn_norm", out="attn_output", gate="ffn_gate", up="ffn_up", down="ffn_down")
VISION_NAMES = dict(ln1="ln1", ln2="ln2", out="attn_out", up="ffn_up", down="ffn_down")


def block_tensors(prefix, block, names):
    """(GGUF name, parameter) of a block, the fused q, k, v taken apart."""
    for name, p in block.named_parameters():
        module, kind = name.split(".")
        if module == "qkv":
            for letter, part in zip("qkv", p.chunk(3)):
                yield f"{prefix}.attn_{letter}.{kind}", part
        else:
            yield f"{prefix}.{names[module]}.{kind}", p


def language_tensors(model):
    yield "token_embd.weight", model.embedding.weight
    for i, block in enumerate(model.decoder):
        yield from block_tensors(f"blk.{i}", block, LANGUAGE_NAMES)
    yield "output_norm.weight", model.norm.weight


def vision_tensors(model):
    yield "v.patch_embd.weight", model.patch.weight
    yield "v.patch_embd.bias", model.patch.bias
    yield "v.position_embd.weight", model.position
    yield from ((f"v.pre_ln.{k}", p) for k, p in model.pre_ln.named_parameters())
    for i, block in enumerate(model.vision):
        yield from block_tensors(f"v.blk.{i}", block, VISION_NAMES)
    yield from ((f"mm.0.{k}", p) for k, p in model.mm0.named_parameters())
    yield from ((f"mm.2.{k}", p) for k, p in model.mm2.named_parameters())


def add(writer, name, parameter, kind):
    data = parameter.detach().float().cpu().numpy()
    if data.ndim == 1 or "position" in name:
        kind = "F32"
    elif data.ndim == 4:
        kind = "F16"
    if kind == "F32":
        writer.add_tensor(name, data)
    else:
        writer.add_tensor(name, gguf.quants.quantize(data, TYPES[kind]), raw_dtype=TYPES[kind])


def describe(writer, name, licence):
    writer.add_name(name)
    writer.add_author("the nanomind project")
    writer.add_license(licence)
    writer.add_description("Answers questions about drawn scenes of everyday things; trained from scratch, see MODEL_CARD.md")


def write_language(model, tokenizer, path, kind):
    c, w = model.c, gguf.GGUFWriter(path, "llama")
    w.add_type("model")
    describe(w, "scene", "MIT OR Apache-2.0")
    w.add_context_length(CONTEXT)
    w.add_embedding_length(c.width)
    w.add_block_count(c.blocks)
    w.add_feed_forward_length(c.hidden)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.heads)
    w.add_layer_norm_rms_eps(c.eps)
    w.add_rope_dimension_count(c.width // c.heads)
    w.add_rope_freq_base(c.rope_base)
    w.add_vocab_size(c.vocabulary)
    w.add_file_type({"Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0, "F16": gguf.LlamaFileType.MOSTLY_F16}[kind])
    bpe = json.loads(tokenizer.to_str())["model"]
    names = [n for n, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(names)
    w.add_token_types([gguf.TokenType.CONTROL if n in SPECIAL else gguf.TokenType.NORMAL for n in names])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]])
    w.add_bos_token_id(END)
    w.add_eos_token_id(END)
    w.add_pad_token_id(END)
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)
    for name, p in language_tensors(model):
        add(w, name, p, kind)
    finish(w)


def write_vision(model, path, kind):
    c, w = model.c, gguf.GGUFWriter(path, "clip")
    w.add_type("mmproj")
    describe(w, "scene vision", "MIT OR Apache-2.0")
    w.add_file_type({"Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "F16": gguf.LlamaFileType.MOSTLY_F16}[kind])
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", "mlp")
    w.add_bool("clip.use_gelu", True)
    w.add_uint32("clip.vision.image_size", IMAGE)
    w.add_uint32("clip.vision.patch_size", PATCH)
    w.add_uint32("clip.vision.embedding_length", c.vision_width)
    w.add_uint32("clip.vision.feed_forward_length", c.vision_hidden)
    w.add_uint32("clip.vision.block_count", c.vision_blocks + 1)
    w.add_uint32("clip.vision.attention.head_count", c.vision_heads)
    w.add_uint32("clip.vision.projection_dim", c.width)
    w.add_float32("clip.vision.attention.layer_norm_epsilon", c.eps)
    w.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    w.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    for name, p in vision_tensors(model):
        add(w, name, p, kind)
    for name, p in block_tensors(f"v.blk.{c.vision_blocks}", model.vision[0], VISION_NAMES):
        add(w, name, torch.zeros_like(p), "Q4_0")
    finish(w)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read(path):
    """Metadata and dequantised tensors of a GGUF file."""
    reader = gguf.GGUFReader(path)
    fields = {k: f.contents() for k, f in reader.fields.items()}
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape([int(n) for n in t.shape[::-1]]).astype(np.float32) for t in reader.tensors}
    return fields, tensors


def load_gguf(language, vision):
    """The PyTorch model with the weights of the two files."""
    f, tensors = read(language)
    g, more = read(vision)
    tensors.update(more)
    get = lambda name: f[f"llama.{name}"]
    see = lambda name: g[f"clip.vision.{name}"]
    model = SceneModel(Config(see("embedding_length"), see("block_count") - 1, see("attention.head_count"), see("feed_forward_length"), get("embedding_length"),
                              get("block_count"), get("attention.head_count"), get("feed_forward_length"), get("vocab_size"), get("rope.freq_base"),
                              get("attention.layer_norm_rms_epsilon")))
    with torch.no_grad():
        for name, p in [*language_tensors(model), *vision_tensors(model)]:
            p.copy_(torch.from_numpy(tensors[name]))
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--language", default="Q4_0")
    parser.add_argument("--vision", default="Q8_0")
    parser.add_argument("--tiny", action="store_true")
    a = parser.parse_args()
    from tokenizers import Tokenizer
    from train import load_weights, tiny
    model = SceneModel(tiny() if a.tiny else Config())
    load_weights(model, a.folder)
    tokenizer = Tokenizer.from_file(f"{a.folder}/tokenizer.json")
    write_language(model, tokenizer, f"{a.out}/scene.gguf", a.language)
    write_vision(model, f"{a.out}/scene-mmproj.gguf", a.vision)


if __name__ == "__main__":
    main()
