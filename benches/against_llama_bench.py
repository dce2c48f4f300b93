#!/usr/bin/env python3
"""Compares `nanomind bench` with llama.cpp's `llama-bench` on this machine, in turn, so that both meet the same noise.

    cargo build --release
    benches/against_llama_bench.py --peer PATH/TO/llama-bench --model MODEL.gguf -t 1,2 -r 5 --rounds 5

The peer is not built here: any `llama-bench` will do. In each round and for each number of threads one program runs, then
the other; who begins changes with every round. A figure is the median over rounds of the mean that a program gives for
its repetitions, in tokens per second. Slowness is a result and no failure: the exit code says only whether both ran.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="path of llama-bench")
    parser.add_argument("--model", "-m", required=True, help="GGUF file, read by both")
    parser.add_argument("--nanomind", default=str(ROOT / "target/release/nanomind"), help="path of nanomind")
    parser.add_argument("-p", type=int, default=512, help="tokens of prefill (0 skips it)")
    parser.add_argument("-n", type=int, default=128, help="tokens of decode (0 skips it)")
    parser.add_argument("-t", default="1,2", help="numbers of threads, with commas")
    parser.add_argument("-r", type=int, default=5, help="repetitions within one run of a program")
    parser.add_argument("--rounds", type=int, default=5, help="how often both programs run")
    parser.add_argument("--json", help="also write all figures to this file")
    return parser.parse_args()


def measure(command):
    """Runs one program and gives {(phase, threads): tokens per second}."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    try:
        rows = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        rows = None
    if rows is None:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode} and no JSON:\n{done.stderr[-2000:]}{done.stdout[-500:]}")
    return {("prefill" if row["n_prompt"] else "decode", row["n_threads"]): row["avg_ts"] for row in rows}


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def main():
    args = arguments()
    work = ["-m", args.model, "-p", str(args.p), "-n", str(args.n), "-r", str(args.r)]
    programs = {
        "llama-bench": [args.peer, *work, "-o", "json"],
        "nanomind": [args.nanomind, "bench", *work, "--format", "json"],
    }
    figures = {name: {} for name in programs}
    for turn in range(args.rounds):
        for threads in args.t.split(","):
            order = list(programs) if turn % 2 == 0 else list(reversed(programs))
            for name in order:
                for key, speed in measure([*programs[name], "-t", threads]).items():
                    figures[name].setdefault(key, []).append(speed)
        print(f"round {turn + 1} of {args.rounds} done", file=sys.stderr)

    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    load = os.getloadavg()[0]
    model = pathlib.Path(args.model).name
    print(f"{processor()}, {os.cpu_count()} cores, load {load:.1f}, {when}")
    print(f"{model}: prefill {args.p}, decode {args.n}; medians of {args.rounds} rounds of {args.r}, tokens/s (lowest-highest)")
    print(f"{'':18} {'llama-bench':>24} {'nanomind':>24} {'ratio':>7}")
    rows = []
    for phase, threads in sorted(figures["nanomind"], key=lambda key: (key[0] != "prefill", key[1])):
        pair = [figures[name].get((phase, threads), []) for name in programs]
        if not all(pair):
            sys.exit(f"only one program measured {phase} with {threads} threads")
        middle = [statistics.median(speeds) for speeds in pair]
        cells = [f"{m:.1f} ({min(s):.0f}-{max(s):.0f})" for m, s in zip(middle, pair)]
        ratio = middle[1] / middle[0]
        print(f"{phase:8} {threads:>2} threads {cells[0]:>23} {cells[1]:>24} {ratio:>6.2f}x")
        rows.append({"phase": phase, "n_threads": threads, "llama_bench": pair[0], "nanomind": pair[1], "ratio": ratio})
    if args.json:
        report = {"processor": processor(), "cores": os.cpu_count(), "date": when, "model": model, "rows": rows}
        pathlib.Path(args.json).write_text(json.dumps(report, indent=1) + "\n")


main()
