"""Render a few scenes that were never trained, as PNG files with questions and their answers.

    python samples.py ATLAS.npz scene.gguf scene-mmproj.gguf OUT [--scenes 24] [--questions 6] [--grain]

OUT/samples.json lists, for each picture, questions with the true answer and what the model says (greedily, in PyTorch).
Without --grain the pictures have no film grain and sensor noise and 5 bits a channel, so that they take a few kilobytes.
"""
import argparse
import json
import os
import random

import torch

import export
import scenes
from ask import answer, look, tokenizer_of
from icons import COLOUR_SETS
from render import Renderer

SEED = 2 * 10 ** 12


def main():
    parser = argparse.ArgumentParser()
    for name in ("atlas", "language", "vision", "out"):
        parser.add_argument(name)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--grain", action="store_true")
    a = parser.parse_args()
    from PIL import Image
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(SEED)
    renderer = Renderer(a.atlas, torch.device("cpu"), clean=not a.grain)
    model, tokenizer = export.load_gguf(a.language, a.vision).eval(), tokenizer_of(a.language)
    listed, right, total = [], 0, 0
    for number in range(a.scenes):
        rng = random.Random(SEED + number)
        objects = scenes.draw_scene(rng)
        image, _ = renderer(torch.tensor([scenes.geometry(objects)]), COLOUR_SETS)
        pixels = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        if not a.grain:
            pixels = pixels >> 3 << 3 | pixels >> 5         # five bits a channel
        name = f"scene-{number:02}.png"
        Image.fromarray(pixels).save(f"{a.out}/{name}", optimize=True)
        seen = look(model, torch.from_numpy(pixels).permute(2, 0, 1) / 255)
        asked = []
        for skill, question, true in [("describe", *scenes.describe(rng, objects)), *scenes.questions(rng, objects, a.questions - 1)]:
            said = answer(model, tokenizer, seen, question)
            asked.append(dict(skill=skill, question=question, answer=true, model=said))
            right, total = right + (said == true), total + 1
        listed.append(dict(file=name, questions=asked))
    with open(f"{a.out}/samples.json", "w") as f:
        f.write("[\n" + ",\n".join('{"file": %s, "questions": [\n  %s]}' % (
            json.dumps(s["file"]), ",\n  ".join(json.dumps(q) for q in s["questions"])) for s in listed) + "\n]\n")
    print(f"{right} of {total} answers right")


if __name__ == "__main__":
    main()
