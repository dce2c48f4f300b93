"""Train the scene model, in one go or in legs: every leg goes on from the checkpoint of the one before.

    python train.py ATLAS.npz FOLDER --schedule 1320 [--seconds 500]

`--schedule` is the whole training time in seconds (the learning rate falls to zero at its end), `--seconds` ends this leg
early. FOLDER gets checkpoint.pt (everything, to go on), weights-0.pt and weights-1.pt (16-bit weights in two files of
under 16 MB, enough to evaluate, export or, with a fresh optimiser, to go on) and log.txt.
"""
import argparse
import json
import math
import multiprocessing as mp
import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

import tokens
from evaluate import accuracy
from icons import NAMES, SHAPES
from model import Config, SceneModel
from muon import Muon
from render import CLASSES, Renderer
from scenes import COLOURS, SHAPE, THING, held_out

SEED = 20261124


def produce(worker, workers, size, vocabulary, queue, start):
    """Batches of scenes and questions, for ever; a worker's batch numbers never meet another's."""
    from tokenizers import Tokenizer
    torch.set_num_threads(1)
    encode = tokens.Encoder(Tokenizer.from_str(vocabulary))
    number = start + worker
    while True:
        arrays, _ = tokens.batch(SEED * 1000 + number, size, encode, "taught")
        queue.put({k: torch.from_numpy(v) for k, v in arrays.items()})
        number += workers


def split_parameters(model):
    """Hidden matrices (with the number of stacked ones) for Muon; embeddings, biases, norms and the rest for AdamW."""
    hidden, decayed, plain = [], [], []
    for name, p in model.named_parameters():
        if p.ndim == 2 and name.split(".")[0] in ("vision", "decoder", "mm0", "mm2"):
            hidden.append((p, 3 if "qkv" in name else 1))
        else:
            (decayed if p.ndim > 1 else plain).append(p)
    return hidden, decayed, plain


def untaught_classes(device):
    """Which class [colour or none, class or background] is held out in which colour."""
    out = torch.zeros(len(COLOURS) + 1, CLASSES + 1, dtype=torch.bool)
    for number, colour in enumerate(COLOURS):
        for kind, first, names in ((SHAPE, 0, SHAPES), (THING, CLASSES - len(NAMES), NAMES)):
            for index in range(len(names)):
                out[number, first + index] = held_out(colour, kind, index)
    return out.to(device)


def seen_loss(seen, labels, untaught):
    """Cross-entropy of class, colour (where there is one) and size under each quarter of a patch; held-out pairs count neither way."""
    b, p, _, _ = seen.shape
    side = int(p ** 0.5)
    what, colour, size = (t.view(b, side, 2, side, 2).permute(0, 1, 3, 2, 4).reshape(b, p, 4) for t in labels)
    a, c, s = seen.float().split([CLASSES + 1, len(COLOURS), 2], -1)
    a, c = a.masked_fill(untaught[colour], -1e4), c.masked_fill(untaught[:-1].T[what], -1e4)
    loss = F.cross_entropy(a.flatten(0, 2), what.flatten())
    loss = loss + 0.5 * F.cross_entropy(c.flatten(0, 2), colour.flatten(), ignore_index=-1)
    return loss + 0.5 * F.cross_entropy(s.flatten(0, 2), size.flatten(), ignore_index=-1)


def answer_loss(logits, ids, weight, untaught):
    """Weighted cross-entropy of the answers' tokens, in which a token that is untaught there counts neither way."""
    logits, at = logits.float(), untaught.clamp_min(0)[..., None]
    logits = logits.scatter(-1, at, logits.gather(-1, at).masked_fill((untaught >= 0)[..., None], -1e4))
    return (F.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none") * weight.flatten()).sum() / weight.sum()


def rate(fraction, step):
    """Learning-rate factor: a short warm-up, level for a third of the time, then a cosine to (nearly) zero."""
    return min(1, (step + 1) / 300) * (1 if fraction < 0.35 else 0.5 + 0.5 * math.cos(math.pi * min(1, (fraction - 0.35) / 0.65)) + 0.002)


def save_weights(model, folder):
    state = {k: v.to(torch.bfloat16) for k, v in model.state_dict().items() if not k.startswith("seen")}
    names = sorted(state)
    half, total, cut = sum(v.numel() for v in state.values()) / 2, 0, 0
    while total < half:
        total += state[names[cut]].numel()
        cut += 1
    for number, part in enumerate((names[:cut], names[cut:])):
        torch.save({k: state[k].cpu() for k in part}, f"{folder}/weights-{number}.tmp")
        os.replace(f"{folder}/weights-{number}.tmp", f"{folder}/weights-{number}.pt")


def load_weights(model, folder):
    for number in (0, 1):
        model.load_state_dict(torch.load(f"{folder}/weights-{number}.pt", map_location="cpu"), strict=False)


def tiny():
    """A toy network, to try the scripts on a CPU."""
    return Config(vision_width=64, vision_blocks=1, vision_heads=2, vision_hidden=128, width=64, blocks=1, heads=2, hidden=128)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("atlas")
    parser.add_argument("folder")
    parser.add_argument("--schedule", type=float, required=True)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--trained", type=float, default=0.0, help="seconds behind the weights-*.pt in FOLDER, where checkpoint.pt is lost")
    parser.add_argument("--tiny", action="store_true", help="a toy network, to try the script on a CPU")
    a = parser.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    begun = time.time()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fast = device.type == "cuda"
    log = open(f"{a.folder}/log.txt", "a", buffering=1)

    def say(**entry):
        log.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)

    tokenizer = tokens.train_tokenizer()
    tokenizer.save(f"{a.folder}/tokenizer.json")
    path, saved = f"{a.folder}/checkpoint.pt", None
    if os.path.exists(path):
        saved = torch.load(path, map_location="cpu")
    step, trained = (saved["step"], saved["trained"]) if saved else (0, 0.0)

    workers = max(1, (os.cpu_count() or 2) - 3) if fast else 1
    context = mp.get_context("fork")
    queue = context.Queue(24)
    feeders = [context.Process(target=produce, args=(w, workers, a.batch, tokenizer.to_str(), queue, step + step // 10), daemon=True)
               for w in range(workers)]
    for f in feeders:
        f.start()

    torch.manual_seed(SEED + step)
    torch.set_float32_matmul_precision("high")
    renderer = Renderer(a.atlas, device)
    c = tiny() if a.tiny else Config()
    model = SceneModel(c).to(device)
    if saved:
        model.load_state_dict(saved["model"])
    elif os.path.exists(f"{a.folder}/weights-1.pt"):
        load_weights(model, a.folder)
        trained = a.trained
    hidden, decayed, plain = split_parameters(model)
    muon = Muon(hidden, lr=a.lr)
    adam = torch.optim.AdamW([dict(params=decayed, weight_decay=0.02), dict(params=plain, weight_decay=0)], lr=a.lr / 2, betas=(0.9, 0.98), fused=fast)
    if saved:
        muon.load_state_dict(saved["muon"])
        adam.load_state_dict(saved["adam"])
    say(parameters=sum(p.numel() for n, p in model.named_parameters() if not n.startswith("seen")), config=vars(c), device=str(device), batch=a.batch)
    forward = torch.compile(model, dynamic=False) if fast else model
    draw, untaught = Renderer(a.atlas, device), untaught_classes(device)
    if fast:
        import muon as muon_module
        draw.compose = torch.compile(draw.compose, dynamic=False)
        muon_module.orthogonalise = torch.compile(muon_module.orthogonalise, dynamic=False)

    clock, last_save, last_eval, last_say = None, time.time(), time.time() - 140, (time.time(), step)
    start = trained
    while trained < a.schedule and time.time() - begun < a.seconds:
        fraction = trained / a.schedule
        factor = rate(fraction, step)
        for group in muon.param_groups:
            group["lr"] = a.lr * factor
        for group in adam.param_groups:
            group["lr"] = a.lr / 2 * factor
        row = {k: v.to(device, non_blocking=True) for k, v in queue.get().items()}
        with torch.no_grad():
            image, labels = draw(row["geometry"])
        ids, weight = row["ids"].long(), row["weight"].float()
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            logits, seen = forward(image, ids, row["turn"], row["position"], row["chat"])
        loss = answer_loss(logits, ids, weight, row["untaught"].long())
        extra = seen_loss(seen, labels, untaught)
        total = loss + max(0.05, 0.6 * (1 - 1.2 * fraction)) * extra
        muon.zero_grad()
        adam.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(decayed + plain, 1.0)
        muon.step()
        adam.step()
        step += 1
        if clock is None:
            clock = time.time()                             # compiling, in the first step, is not training time
        trained = start + time.time() - clock
        if step in (2, 20, 100) or step % 500 == 0 or not fast:
            now = time.time()
            say(step=step, trained=round(trained), loss=round(loss.item(), 4), seen=round(extra.item(), 4), lr=round(a.lr * factor, 6),
                per_second=round((step - last_say[1]) / (now - last_say[0]), 2), waiting=queue.qsize())
            last_say = (now, step)
        if fast and time.time() - last_eval > 170:
            for name, styles in (("trained", None), ("unseen", ["openmoji"])):
                say(step=step, set=name, **accuracy(model, renderer, tokenizer, styles=styles, batches=2, size=256))
            last_eval = time.time()
        if time.time() - last_save > 60:
            save_weights(model, a.folder)
            last_save = time.time()
    torch.save(dict(model=model.state_dict(), muon=muon.state_dict(), adam=adam.state_dict(), step=step, trained=trained), path + ".tmp")
    os.replace(path + ".tmp", path)
    save_weights(model, a.folder)
    say(step=step, trained=round(trained), wall=round(time.time() - begun), finished=trained >= a.schedule)
    for f in feeders:
        f.kill()


if __name__ == "__main__":
    main()
