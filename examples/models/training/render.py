"""Scenes to pixels, a batch at a time on the GPU: styles of drawing, backgrounds, perspective, light, blur and sensor noise.

Sprites are restyled at 64 x 64 (so that the model learns what a thing is rather than one artist's hand), laid on a
textured background back to front, and seen through a crude camera. Everything random here comes from torch's generator.
"""

import numpy as np
import torch
import torch.nn.functional as F

from icons import COLOUR_SETS, FONTS, LINE_SETS, NAMES, SETS, SHAPES, SIZE, WORDS
from scenes import COLOURS, DIGIT, MAX_OBJECTS, SHAPE, THING, WORD

IMAGE = 192
CLASSES = len(SHAPES) + 10 + len(WORDS) + len(NAMES)   # what an object can be; the background comes after


def bodies(things):
    """Filled silhouettes [.., 64, 64] of line drawings: closed outlines count as filled."""
    from scipy import ndimage
    out = np.zeros(things.shape[:-1], np.uint8)
    for at in np.ndindex(things.shape[:2]):
        ink = things[at][..., 3] > 90
        if ink.any():
            closed = ndimage.binary_closing(np.pad(ink, 4), iterations=2)
            out[at] = 255 * (ndimage.binary_fill_holes(closed)[4:-4, 4:-4] | ink)
    return out


class Renderer:
    """Holds the atlas on a device, and draws. With `styles`, a list of set names, things look as in those sets; without, restyled."""

    def __init__(self, path, device, clean=False):
        atlas = np.load(path)
        things, has = atlas["things"], torch.tensor(atlas["has"])
        self.clean = clean          # without grain and sensor noise: pictures that compress well
        self.device, self.dtype = device, torch.float16 if device.type == "cuda" else torch.float32
        colour, line = len(COLOUR_SETS), len(LINE_SETS)
        rgba = torch.tensor(things).permute(0, 1, 4, 2, 3).float() / 255
        rgba[:, :, :3] *= rgba[:, :, 3:]
        # A line drawing becomes ink, body, nothing and the silhouette; it is coloured in `paint`.
        lum = (rgba[colour:colour + line, :, :3].mean(2) / rgba[colour:colour + line, :, 3].clamp_min(0.05)).clamp(0, 1)
        ink = ((rgba[colour:colour + line, :, 3] - 0.3) / 0.5).clamp(0, 1) * (1 - 2 * lum).clamp(0, 1)
        body = torch.tensor(bodies(things[colour:colour + line])).float() / 255
        body = torch.maximum(F.avg_pool2d(body, 3, 1, 1), ink)
        rgba[colour:colour + line] = torch.stack([ink, body, torch.zeros_like(ink), body], 2)
        self.things = rgba.to(device, self.dtype)
        self.masks = (torch.tensor(atlas["masks"]).float() / 255).to(device, self.dtype)
        weights = torch.tensor([1.0] * colour + [0.45] * line + [0.0] * (len(SETS) - colour - line))
        self.odds = (has.float() * weights[:, None]).T.contiguous().to(device)             # [thing, set]
        self.has = has.T.float().to(device)
        self.palette = torch.tensor(list(COLOURS.values()), device=device)

    def rand(self, *shape):
        return torch.rand(*shape, device=self.device)

    def chance(self, p, n):
        return (self.rand(n) < p)[:, None, None, None]

    def choose(self, geometry, styles):
        """Flattened objects, the icon set of each thing, and the sprite of everything else."""
        g = geometry.reshape(-1, 8)
        kind, index = g[:, 4].long(), g[:, 5].long()
        thing = torch.where(kind == THING, index, 0)
        odds = self.odds[thing]
        if styles:
            wanted = torch.zeros(len(SETS), device=self.device)
            wanted[[SETS.index(s) for s in styles]] = 1
            odds = self.has[thing] * wanted + 1e-6 * wanted
        style = torch.multinomial(odds, 1)[:, 0]
        font = (self.rand(len(g)) * len(FONTS)).long()
        fonts = len(FONTS)
        mask = torch.where(kind == SHAPE, index, len(SHAPES) + torch.where(kind == DIGIT, index, index + 10) * fonts + font)
        return g, kind, thing, style, torch.where(kind == THING, 0, mask)

    def paint(self, g, kind, thing, style, mask, bright, restyle):
        """Premultiplied sprites [objects, 4, 64, 64] in their final colours."""
        n, dt = len(g), self.dtype
        tinted = (g[:, 6] >= 0)[:, None, None, None]
        tint = (self.palette[g[:, 6].long().clamp_min(0)] + torch.randn(n, 3, device=self.device) * 0.035).clamp(0, 1)
        tint = tint[:, :, None, None].to(dt)
        r4 = lambda lo, hi: (lo + (hi - lo) * self.rand(n, 1, 1, 1)).to(dt)

        # Things as their artists coloured them.
        drawn = self.things[style, thing]
        rgb, alpha = drawn[:, :3], drawn[:, 3:]
        grey = rgb.mean(1, keepdim=True)
        if restyle:
            plain = rgb
            mix = torch.eye(3, device=self.device) + 0.35 * torch.randn(n, 3, 3, device=self.device)
            hue = torch.einsum("nij,njhw->nihw", mix.to(dt), rgb).clamp(0, 1).minimum(alpha)
            rgb = torch.where(self.chance(0.3, n), hue, rgb)
            flat = (rgb / alpha.clamp_min(0.02) * 3 + r4(-0.5, 0.5)).round() / 3
            rgb = torch.where(self.chance(0.2, n), flat.clamp(0, 1) * alpha, rgb)
            rgb = rgb + (grey - rgb) * r4(0, 1) * self.chance(0.25, n)
            mean = (rgb.sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp_min(1)) * alpha
            rgb = rgb + (mean - rgb) * r4(0.2, 0.9) * self.chance(0.12, n)
            edge = (F.max_pool2d(plain, 3, 1, 1) + F.max_pool2d(-plain, 3, 1, 1)).amax(1, keepdim=True)
            edge = F.avg_pool2d(((edge - 0.22) * 4).clamp(0, 1), 3, 1, 1) * self.chance(0.3, n)
            rgb = rgb * (1 - edge)
            rgb = ((rgb - 0.5 * alpha) * r4(0.6, 1.3) + 0.5 * alpha + r4(-0.15, 0.15) * alpha).clamp(0, 1).minimum(alpha)
        shade = (tint * (0.45 + 0.75 * grey / alpha.clamp_min(0.02))).clamp(0, 1) * alpha
        coloured = torch.cat([torch.where(tinted, shade, rgb), alpha], 1)

        # Line drawings: ink on a body, ink alone, or (tinted) the colour as ink or as body.
        ink, body = drawn[:, :1], drawn[:, 1:2]
        dark = self.rand(n, 3, 1, 1).to(dt) * 0.3
        free = self.rand(n, 3, 1, 1).to(dt)
        contrast = torch.where((bright > 0.45)[:, None, None, None], dark, 1 - dark)
        filled = self.chance(0.6, n)
        ink_colour = torch.where(tinted, torch.where(filled, tint * 0.3, tint), torch.where(filled, dark, contrast))
        body_colour = torch.where(tinted, tint, torch.where(self.chance(0.5, n), 0.55 + 0.45 * free, free.clamp(0.3, 1)))
        cover = torch.where(filled, torch.maximum(body, ink), ink)
        lines = torch.cat([ink_colour * ink + torch.where(filled, body_colour * (cover - ink), 0), cover], 1)
        is_line = ((style >= len(COLOUR_SETS)) & (style < len(COLOUR_SETS) + len(LINE_SETS)))[:, None, None, None]
        thing_sprite = torch.where(is_line, lines, coloured)
        if restyle:   # a drawn outline around the whole
            a = thing_sprite[:, 3:]
            wide = torch.where(self.chance(0.5, n), F.max_pool2d(a, 3, 1, 1), F.max_pool2d(a, 5, 1, 2))
            line_colour = torch.where(self.chance(0.75, n), dark * 0.6, 1 - dark * 0.4)
            ringed = torch.cat([thing_sprite[:, :3] + line_colour * (wide - a), wide], 1)
            thing_sprite = torch.where(self.chance(0.3, n), ringed, thing_sprite)

        # Shapes, digits and words: a tinted mask, words on a plate half of the time.
        m = self.masks[mask][:, None]
        axis = torch.linspace(-1, 1, SIZE, device=self.device, dtype=dt)
        plate = ((axis.abs() < 0.42)[:, None] & (axis.abs() < 2)[None]).to(dt) * ((kind == WORD)[:, None, None, None] & self.chance(0.5, n))
        pale = tint.mean(1, keepdim=True) > 0.55
        plate_colour = torch.where(pale, 0.25 * free, 1 - 0.2 * free)
        cover = torch.maximum(m, plate)
        slope = 1 + (axis[:, None] * r4(-0.12, 0.12) + axis[None] * r4(-0.12, 0.12))
        marks = torch.cat([(tint * slope).clamp(0, 1) * m + plate_colour * (cover - m), cover], 1)
        return torch.where((kind == THING)[:, None, None, None], thing_sprite, marks)

    def bend(self, sprites, kind):
        """Mirror, stretch, shear and warp things a little; other sprites only a touch."""
        n = len(sprites)
        thing = (kind == THING).float()[:, None]
        flip = torch.where((self.rand(n, 1) < 0.4) & (thing > 0), -1.0, 1.0)
        stretch = 1 + thing * 0.2 * (self.rand(n, 1) - 0.5)
        shear = (0.05 + 0.15 * thing) * (self.rand(n, 1) - 0.5)
        zero = torch.zeros_like(shear)
        affine = torch.stack([torch.cat([flip * stretch, shear, zero], 1), torch.cat([zero, 1 / stretch, zero], 1)], 1)
        grid = F.affine_grid(affine, (n, 1, SIZE, SIZE), align_corners=False)
        wave = F.interpolate(self.rand(n, 2, 4, 4) - 0.5, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
        grid = grid + wave.permute(0, 2, 3, 1) * (thing * 0.22)[:, :, None, None]
        return F.grid_sample(sprites, grid.to(sprites.dtype), align_corners=False)

    def noise(self, b, k):
        return F.interpolate(self.rand(b, 3, k, k) - 0.5, size=(IMAGE, IMAGE), mode="bilinear", align_corners=False)

    def base_colour(self, geometry):
        """A background colour [b, 3, 1, 1] far from the colours drawn on it: the best of six; sometimes nearly white or black."""
        b = len(geometry)
        colours = geometry[:, :, 6]
        grey = 0.2 + 0.6 * self.rand(b, 6, 1)
        tries = (grey + 0.5 * (self.rand(b, 6, 3) - 0.5)).clamp(0.1, 0.9)
        far = (tries[:, :, None] - self.palette[colours.long().clamp_min(0)][:, None]).norm(dim=-1)
        far = far.masked_fill((colours < 0)[:, None], 0.45).clamp_max(0.45).amin(2)
        base = tries.gather(1, far.argmax(1)[:, None, None].expand(-1, 1, 3))[:, 0, :, None, None]
        u, pick = self.rand(b, 1, 1, 1), lambda name: (colours == list(COLOURS).index(name)).any(1)[:, None, None, None]
        base = torch.where((u < 0.2) & ~pick("white"), 0.88 + 0.12 * self.rand(b, 3, 1, 1), base)
        return torch.where((u > 0.93) & ~pick("black"), 0.08 + 0.15 * self.rand(b, 3, 1, 1), base)

    def background(self, base, x, y):
        b = len(base)
        amount = self.rand(b, 1, 1, 1) * 0.32
        grain = self.noise(b, 64) * (0.0 if self.clean else 0.6)
        image = base + amount * (self.noise(b, 3) + 0.6 * self.noise(b, 12) + grain)
        wave, phase = (self.rand(b, 2, 1, 1) - 0.5) * 60, self.rand(b, 1, 1) * 7
        stripes = torch.sin(wave[:, 0] * x + wave[:, 1] * y + phase)[:, None]
        stripes = torch.where(self.chance(0.5, b), stripes, stripes.sign())
        image = image + stripes * (self.rand(b, 3, 1, 1) - 0.3) * 0.2 * self.chance(0.25, b)
        slope = (self.rand(b, 3, 2, 1, 1) - 0.5) * 0.35
        return (image + slope[:, :, 0] * (x - 0.5)[:, None] + slope[:, :, 1] * (y - 0.5)[:, None]).clamp(0, 1)

    def camera_grid(self, b):
        """Where each pixel of a slightly turned, shifted and tilted camera looks, in scene coordinates [b, S, S]."""
        axis = (torch.arange(IMAGE, device=self.device) + 0.5) / IMAGE * 2 - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        h = (self.rand(b, 8, 1, 1) - 0.5)
        angle, zoom = h[:, 0] * 0.14, 1 + h[:, 1] * 0.1
        w = 1 + 0.14 * (h[:, 2] * x + h[:, 3] * y)
        u = (torch.cos(angle) * x - torch.sin(angle) * y) * zoom / w + h[:, 4] * 0.06
        v = (torch.sin(angle) * x + torch.cos(angle) * y) * zoom / w + h[:, 5] * 0.06
        return (u + 1) / 2, (v + 1) / 2

    def develop(self, image):
        """Light, colour cast, blur, sensor noise, 8 bits."""
        b = len(image)
        axis = torch.linspace(-0.5, 0.5, IMAGE, device=self.device)
        tilt = (self.rand(b, 2, 1, 1) - 0.5) * 0.6
        light = (0.85 + 0.3 * self.rand(b, 1, 1)) * (1 + tilt[:, 0] * axis[None] + tilt[:, 1] * axis[:, None])
        image = image * light[:, None] * (1 + 0.16 * (self.rand(b, 3, 1, 1) - 0.5))
        soft = F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
        softer = F.avg_pool2d(soft, 3, 1, 1, count_include_pad=False)
        t = self.rand(b, 1, 1, 1)
        image = image + (torch.where(self.chance(0.25, b), softer, soft) - image) * t
        if not self.clean:
            image = image + torch.randn_like(image) * self.rand(b, 1, 1, 1) ** 2 * 0.08
        return (image.clamp(0, 1) * 255).round() / 255

    def __call__(self, geometry, styles=None):
        """Images [b, 3, S, S] in 0..1, and what is seen where: class, colour and size [b, S/8, S/8] (for the auxiliary loss)."""
        b = len(geometry)
        objects = self.choose(geometry, styles)
        base = self.base_colour(geometry)
        bright = base.mean((1, 2, 3)).repeat_interleave(MAX_OBJECTS)
        sprites = self.paint(*objects, bright, restyle=not styles)
        if not styles:
            sprites = self.bend(sprites, objects[1])
        image, owner = self.compose(sprites.reshape(b, MAX_OBJECTS, 4, SIZE, SIZE), geometry, base)
        return image, self.labels(geometry, owner)

    def compose(self, sprites, geometry, base):
        """Sprites over a background as the camera sees them [b, 3, S, S], and the topmost object of each quarter patch."""
        b = len(geometry)
        x, y = self.camera_grid(b)
        image = self.background(base, x, y).to(self.dtype)
        owner = torch.full((b, IMAGE // 8, IMAGE // 8), MAX_OBJECTS, device=self.device)
        for j in range(MAX_OBJECTS):
            cx, cy, radius, spin = (geometry[:, j, k, None, None] for k in range(4))
            dx, dy = (x - cx) / radius, (y - cy) / radius
            c, s = torch.cos(spin), torch.sin(spin)
            grid = torch.stack([c * dx + s * dy, c * dy - s * dx], -1).clamp(-2, 2)
            layer = F.grid_sample(sprites[:, j], grid.to(self.dtype), align_corners=False)
            layer = layer * geometry[:, j, 7, None, None, None].to(self.dtype)
            image = image * (1 - layer[:, 3:]) + layer[:, :3]
            owner = torch.where(layer[:, 3, 4::8, 4::8] > 0.4, j, owner)
        return self.develop(image.float()), owner

    def labels(self, geometry, owner):
        kind, index = geometry[:, :, 4].long(), geometry[:, :, 5].long()
        first = torch.tensor([0, len(SHAPES), len(SHAPES) + 10, len(SHAPES) + 10 + len(WORDS)], device=self.device)
        none = torch.ones(len(geometry), 1, dtype=torch.long, device=self.device)
        what = torch.cat([first[kind] + index, none * CLASSES], 1)
        colour = torch.cat([geometry[:, :, 6].long(), -none], 1)          # -1: not to be learnt
        size = torch.cat([(geometry[:, :, 2] > 0.13).long(), -none], 1)
        flat = owner.flatten(1)
        return tuple(t.gather(1, flat).view_as(owner) for t in (what, colour, size))
