"""Check the exported files: they parse, a second implementation in numpy agrees with PyTorch, and text survives the tokenizer.

    python check.py scene.gguf scene-mmproj.gguf
"""
import sys

import numpy as np
import torch

import export
from tokens import ASSISTANT, PREFIX, USER


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def layer_norm(x, w, name, eps):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name + ".weight"] + w[name + ".bias"]


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def attention(q, k, v, heads, causal):
    t, d = q.shape
    q, k, v = (z.reshape(t, heads, -1).transpose(1, 0, 2) for z in (q, k, v))
    score = q @ k.transpose(0, 2, 1) / np.sqrt(d // heads)
    if causal:
        score = np.where(np.tril(np.ones((t, t), bool)), score, -np.inf)
    score = np.exp(score - score.max(-1, keepdims=True))
    return (score / score.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(t, d)


def rope(x, heads, base):
    t, d = x.shape
    half = d // heads // 2
    angle = np.arange(t)[:, None] * base ** (-np.arange(half) / half)
    pairs = x.reshape(t, heads, half, 2)
    turn = pairs[..., 0] + 1j * pairs[..., 1]
    turn = turn * np.exp(1j * angle)[:, None]
    return np.stack([turn.real, turn.imag], -1).reshape(t, d)


def see(image, f, w):
    """Rows [patches, width of the language model] of an image [3, S, S] in 0..1, as LLaVA 1.5 does it."""
    see = lambda name: f["clip.vision." + name]
    p, heads, eps = see("patch_size"), see("attention.head_count"), see("attention.layer_norm_epsilon")
    mean, std = (np.array(see(k))[:, None, None] for k in ("image_mean", "image_std"))
    n = image.shape[1] // p
    cut = ((image - mean) / std).reshape(3, n, p, n, p).transpose(1, 3, 0, 2, 4).reshape(n * n, -1)
    x = cut @ w["v.patch_embd.weight"].reshape(-1, cut.shape[1]).T + w["v.patch_embd.bias"] + w["v.position_embd.weight"]
    x = layer_norm(x, w, "v.pre_ln", eps)
    for i in range(see("block_count") - 1):
        b = f"v.blk.{i}."
        linear = lambda z, name: z @ w[b + name + ".weight"].T + w[b + name + ".bias"]
        h = layer_norm(x, w, b + "ln1", eps)
        x = x + linear(attention(*(linear(h, "attn_" + c) for c in "qkv"), heads, False), "attn_out")
        x = x + linear(gelu(linear(layer_norm(x, w, b + "ln2", eps), "ffn_up")), "ffn_down")
    return gelu(x @ w["mm.0.weight"].T + w["mm.0.bias"]) @ w["mm.2.weight"].T + w["mm.2.bias"]


def speak(rows, f, w):
    """Logits [t, vocabulary] of embedding rows [t, width]."""
    get = lambda name: f["llama." + name]
    heads, eps, base = get("attention.head_count"), get("attention.layer_norm_rms_epsilon"), get("rope.freq_base")
    x = rows
    for i in range(get("block_count")):
        b = f"blk.{i}."
        h = rms_norm(x, w[b + "attn_norm.weight"], eps)
        q, k, v = (h @ w[f"{b}attn_{c}.weight"].T for c in "qkv")
        x = x + attention(rope(q, heads, base), rope(k, heads, base), v, heads, True) @ w[b + "attn_output.weight"].T
        h = rms_norm(x, w[b + "ffn_norm.weight"], eps)
        gate = h @ w[b + "ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[b + "ffn_up.weight"].T)) @ w[b + "ffn_down.weight"].T
    return rms_norm(x, w["output_norm.weight"], eps) @ w["token_embd.weight"].T


def main(language, vision):
    model = export.load_gguf(language, vision).eval()
    (f, w), (g, v) = export.read(language), export.read(vision)
    rng = np.random.default_rng(0)
    size = g["clip.vision.image_size"]
    image = rng.random((3, size, size), np.float32)
    ids = np.array([*rng.integers(3, len(w["token_embd.weight"]), 12), ASSISTANT, *rng.integers(3, 900, 5)])
    rows = np.concatenate([w["token_embd.weight"][[USER]], see(image, g, v), w["token_embd.weight"][ids]])
    numpy_logits = speak(rows, f, w)[PREFIX - 1:-1]
    with torch.no_grad():
        t = torch.from_numpy(ids)[None]
        torch_logits, _ = model(torch.from_numpy(image)[None], t, torch.ones_like(t), PREFIX + torch.arange(len(ids))[None], torch.tensor([False]))
    error = abs(numpy_logits - torch_logits[0].numpy()).max() / abs(numpy_logits).max()
    print(f"numpy against PyTorch, largest difference of logits relative to the largest logit: {error:.2e}")
    assert error < 1e-4, "the two implementations disagree"


if __name__ == "__main__":
    main(*sys.argv[1:])
