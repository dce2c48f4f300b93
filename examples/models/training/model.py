"""The network: a CLIP-style ViT (no class token), a two-layer projector and a Llama-style decoder.

Shapes follow what llama.cpp loads as `clip` with projector `mlp` and as `llama`: pre-norm ViT with biases and tanh-GELU and
no norm after the last used block; RMSNorm, interleaved rotary positions, SwiGLU, tied embeddings.
"""
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from render import CLASSES
from scenes import COLOURS
from tokens import IMAGE_TOKENS, PREFIX, USER, VOCABULARY

PATCH = 16


@dataclass
class Config:
    vision_width: int = 256
    vision_blocks: int = 7
    vision_heads: int = 4
    vision_hidden: int = 1024
    width: int = 320
    blocks: int = 6
    heads: int = 5
    hidden: int = 896
    vocabulary: int = VOCABULARY
    rope_base: float = 10000.0
    eps: float = 1e-5


def split_heads(x, heads):
    b, t, d = x.shape
    return x.view(b, t, heads, d // heads).transpose(1, 2)


class VisionBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.vision_width
        self.heads = c.vision_heads
        self.ln1, self.ln2 = nn.LayerNorm(d, c.eps), nn.LayerNorm(d, c.eps)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, c.vision_hidden), nn.Linear(c.vision_hidden, d)

    def forward(self, x):
        q, k, v = (split_heads(z, self.heads) for z in self.qkv(self.ln1(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


def rotate(x, cos, sin):
    """Interleaved rotary embedding: the pair (2i, 2i + 1) turns by its angle. x [b, h, t, d], cos and sin [b, 1, t, d / 2]."""
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2).to(x.dtype)


class DecoderBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        d = c.width
        self.heads = c.heads
        self.norm1, self.norm2 = nn.RMSNorm(d, c.eps), nn.RMSNorm(d, c.eps)
        self.qkv, self.out = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.gate, self.up, self.down = nn.Linear(d, c.hidden, bias=False), nn.Linear(d, c.hidden, bias=False), nn.Linear(c.hidden, d, bias=False)

    def forward(self, x, cos, sin, mask):
        q, k, v = (split_heads(z, self.heads) for z in self.qkv(self.norm1(x)).chunk(3, -1))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class SceneModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.patch = nn.Conv2d(3, c.vision_width, PATCH, PATCH)
        self.position = nn.Parameter(torch.zeros(IMAGE_TOKENS, c.vision_width))
        self.pre_ln = nn.LayerNorm(c.vision_width, c.eps)
        self.vision = nn.ModuleList(VisionBlock(c) for _ in range(c.vision_blocks))
        self.mm0, self.mm2 = nn.Linear(c.vision_width, c.width), nn.Linear(c.width, c.width)
        self.embedding = nn.Embedding(c.vocabulary, c.width)
        self.decoder = nn.ModuleList(DecoderBlock(c) for _ in range(c.blocks))
        self.norm = nn.RMSNorm(c.width, c.eps)
        # For training only: what lies under each quarter of a patch (class or background, colour, size).
        self.seen = nn.Linear(c.vision_width, 4 * (CLASSES + 1 + len(COLOURS) + 2))
        self.seen_norm = nn.LayerNorm(c.vision_width)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02)
            if name.endswith("bias"):
                nn.init.zeros_(p)
        for block in [*self.vision, *self.decoder]:
            nn.init.zeros_(block.out.weight)
            nn.init.zeros_(block.down.weight)

    def encode(self, image):
        """Images [b, 3, S, S] in 0..1 to patch features [b, IMAGE_TOKENS, vision_width]."""
        x = self.patch(image * 2 - 1).flatten(2).transpose(1, 2) + self.position
        x = self.pre_ln(x)
        for block in self.vision:
            x = block(x)
        return x

    def project(self, x):
        return self.mm2(F.gelu(self.mm0(x), approximate="tanh"))

    def decode(self, rows, position, mask):
        """Embedding rows [b, t, width] to normed hidden states."""
        half = self.c.width // self.c.heads // 2
        rate = self.c.rope_base ** (-torch.arange(half, device=rows.device) / half)
        angle = (position.float()[:, :, None] * rate)[:, None]
        cos, sin = angle.cos(), angle.sin()
        for block in self.decoder:
            rows = block(rows, cos, sin, mask)
        return self.norm(rows)

    def forward(self, image, ids, turn, position, chat):
        """Logits that predict each of `ids` [b, t, vocabulary], and the auxiliary logits [b, patches, 4, classes…]."""
        b, t = ids.shape
        features = self.encode(image)
        user = self.embedding.weight[USER].expand(b, 1, -1)
        seen = self.project(features)
        rows = torch.cat([user, seen, self.embedding(ids)], 1)
        prefix = torch.zeros(b, PREFIX, dtype=turn.dtype, device=ids.device)
        turns = torch.cat([prefix, turn], 1)
        places = torch.cat([torch.arange(PREFIX, device=ids.device).expand(b, -1), position], 1)
        query, key = turns[:, :, None], turns[:, None, :]
        causal = torch.ones(PREFIX + t, PREFIX + t, dtype=torch.bool, device=ids.device).tril()
        mask = causal & ((key == 0) | (query == key) | (chat[:, None, None] & (key > 0)))
        mask = torch.zeros(mask.shape, dtype=seen.dtype, device=ids.device).masked_fill(~mask, -1e4)[:, None]
        hidden = self.decode(rows, places, mask)
        logits = F.linear(hidden[:, PREFIX - 1:-1], self.embedding.weight)
        return logits, self.seen(self.seen_norm(features)).unflatten(-1, (4, -1))
