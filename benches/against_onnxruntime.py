#!/usr/bin/env python3
"""Compares the products of vision and speech encoders with ONNX Runtime's on this machine, in turn, so that both meet the
same noise.

    pip install numpy onnx onnxruntime
    cargo bench -p nanomind-kernels --bench shapes --no-run      # prints the path of the program
    benches/against_onnxruntime.py --ours target/release/deps/shapes-… -t 1,2 --rounds 3
    benches/against_onnxruntime.py --ours … --peer ggml=PATH     # another program that prints the same lines
    benches/against_onnxruntime.py --encoder target/release/deps/encoder-…     # whole vision transformers

ONNX Runtime multiplies in single precision (`MatMul`, `Conv`) and with 8-bit integers (`DynamicQuantizeLinear` and
`MatMulInteger`: one scale for all of the input and one for each row of weights, where Q8_0 has one for 32 values). Its
threads spin between runs, as they do by default. A peer is a program that takes `--threads N --json` and prints one JSON
object a line: shape, format, threads, us. A figure is the fastest of all runs of all rounds.
"""

import argparse
import json
import subprocess
import time

import numpy
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SPAN = 0.15


def session(nodes, constants, shape, threads, opset=17):
    """A session of a graph from `x` to `y`."""
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", shape), ("y", None))]
    graph = helper.make_graph(nodes, "shape", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def values(*shape):
    count = int(numpy.prod(shape))
    return (((numpy.arange(count) * 7919) % 1000) / 500 - 1).astype("f4").reshape(shape)


def single(case, threads):
    """The product in single precision with its bias."""
    tokens, rows, cols = case["tokens"], case["rows"], case["cols"]
    bias = numpy_helper.from_array(values(rows), "b")
    if "conv" in case["shape"]:
        stride = 2 if "conv2" in case["shape"] else 1
        weight = numpy_helper.from_array(values(rows, cols // 3, 3), "w")
        nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[stride], pads=[1, 1])]
        shape = (1, cols // 3, tokens * stride)
    else:
        weight = numpy_helper.from_array(values(cols, rows), "w")
        nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
        shape = (tokens, cols)
    return session(nodes, [weight, bias], shape, threads), values(*shape)


def integer(case, threads):
    """The product with dynamically quantised input and 8-bit weights; none for convolutions."""
    tokens, rows, cols = case["tokens"], case["rows"], case["cols"]
    if "conv" in case["shape"]:
        return None
    codes = numpy.clip(numpy.rint(values(cols, rows) * 127), -127, 127).astype("i1")
    constants = [
        numpy_helper.from_array(codes, "w"),
        numpy_helper.from_array(numpy.zeros(rows, "i1"), "wz"),
        numpy_helper.from_array(numpy.full(rows, 1 / 127, "f4"), "ws"),
        numpy_helper.from_array(values(rows), "b"),
    ]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        helper.make_node("MatMulInteger", ["xq", "w", "xz", "wz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["xs", "ws"], ["s"]),
        helper.make_node("Mul", ["f", "s"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["y"]),
    ]
    return session(nodes, constants, (tokens, cols), threads), values(tokens, cols)


def encoder(name, threads):
    """A vision transformer of the shape that `bricks/benches/encoder.rs` has under this name, in single precision."""
    width, heads = {"vit-s": (384, 6), "vit-b": (768, 12)}[name]
    nodes, constants = [], []

    def constant(label, array):
        constants.append(numpy_helper.from_array(array, label))
        return label

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def linear(x, label, cols, rows):
        weight = constant(f"{label}.w", values(cols, rows) / numpy.float32(cols) ** numpy.float32(0.5))
        product = node("MatMul", [x, weight], f"{label}.p")
        return node("Add", [product, constant(f"{label}.b", values(rows))], label)

    def norm(x, label):
        weight, bias = constant(f"{label}.w", values(width)), constant(f"{label}.b", values(width))
        return node("LayerNormalization", [x, weight, bias], label, epsilon=1e-6)

    def split(x, label, order):
        apart = node("Reshape", [x, constant(f"{label}.s", numpy.array([197, heads, width // heads]))], f"{label}.r")
        return node("Transpose", [apart], f"{label}.t", perm=order)

    patch = constant("patch", values(width, 3, 16, 16) / numpy.float32(768) ** numpy.float32(0.5))
    patches = node("Conv", ["x", patch], "patches", strides=[16, 16])
    flat = node("Reshape", [patches, constant("flat", numpy.array([width, 196]))], "flat.r")
    rows = node("Transpose", [flat], "rows", perm=[1, 0])
    x = node("Concat", [constant("class", values(1, width)), rows], "tokens", axis=0)
    x = node("Add", [x, constant("positions", values(197, width))], "placed")
    for layer in range(12):
        name = f"l{layer}"
        normed = norm(x, f"{name}.n1")
        q = split(linear(normed, f"{name}.q", width, width), f"{name}.q", [1, 0, 2])
        k = split(linear(normed, f"{name}.k", width, width), f"{name}.k", [1, 2, 0])
        v = split(linear(normed, f"{name}.v", width, width), f"{name}.v", [1, 0, 2])
        scores = node("MatMul", [q, k], f"{name}.qk")
        scaled = node("Mul", [scores, constant(f"{name}.scale", numpy.float32((width // heads) ** -0.5))], f"{name}.sc")
        seen = node("MatMul", [node("Softmax", [scaled], f"{name}.sm", axis=-1), v], f"{name}.av")
        joined = node("Transpose", [seen], f"{name}.j", perm=[1, 0, 2])
        joined = node("Reshape", [joined, constant(f"{name}.js", numpy.array([197, width]))], f"{name}.jr")
        x = node("Add", [x, linear(joined, f"{name}.o", width, width)], f"{name}.x1")
        up = linear(norm(x, f"{name}.n2"), f"{name}.up", width, 4 * width)
        hidden = node("Gelu", [up], f"{name}.g", approximate="tanh")
        x = node("Add", [x, linear(hidden, f"{name}.down", 4 * width, width)], f"{name}.x2")
    node("Identity", [x], "y")
    shape = (1, 3, 224, 224)
    return session(nodes, constants, shape, threads, opset=20), values(*shape)


def fastest(made, span=SPAN):
    """Microseconds of the fastest run."""
    if made is None:
        return None
    run, x = made
    begun, best = time.perf_counter(), float("inf")
    while time.perf_counter() - begun < span:
        start = time.perf_counter()
        run.run(None, {"x": x})
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def lines(path, threads, more):
    """What a program prints, one object a line."""
    command = [path, "--threads", str(threads), "--json", *more]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def keep(best, key, micros):
    if micros is not None:
        best[key] = min(best.get(key, float("inf")), micros)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="the program `shapes`")
    parser.add_argument("--encoder", help="the program `encoder`")
    parser.add_argument("--peer", action="append", default=[], help="NAME=PATH of a program that prints the same lines")
    parser.add_argument("-t", "--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="part of a shape's name")
    arguments = parser.parse_args()
    for threads in map(int, arguments.threads.split(",")):
        if arguments.ours:
            products(arguments, threads)
        if arguments.encoder:
            encoders(arguments, threads)


def products(arguments, threads):
    more = ["--only", arguments.only] if arguments.only else []
    best, cases = {}, {}
    for _ in range(arguments.rounds):
        for line in lines(arguments.ours, threads, more):
            cases[line["shape"]] = line
            keep(best, (line["shape"], "ours", line["format"]), line["us"])
        for name, case in cases.items():
            keep(best, (name, "ORT", "F32"), fastest(single(case, threads)))
            keep(best, (name, "ORT", "int8"), fastest(integer(case, threads)))
        for peer in arguments.peer:
            peer, path = peer.split("=", 1)
            for line in lines(path, threads, more):
                keep(best, (line["shape"], peer, line["format"]), line["us"])
    report(threads, cases, best)


def encoders(arguments, threads):
    best, cases = {}, {}
    for _ in range(arguments.rounds):
        for line in lines(arguments.encoder, threads, []):
            cases[line["shape"]] = line
            keep(best, (line["shape"], "ours", line["format"]), line["us"])
        for name in cases:
            keep(best, (name, "ORT", "F32"), fastest(encoder(name, threads), span=1.0))
    report(threads, cases, best)


def report(threads, cases, best):
    columns = list(dict.fromkeys(key[1:] for key in best))
    floats = [column for column in columns if column[0] != "ours" and column[1] not in ("int8", "Q8_0")]
    print(f"\n{threads} threads, µs" + "".join(f" | {name} {form}" for name, form in columns) + " | F16 to best float peer")
    for name in cases:
        cells = [f"{best[(name, *column)]:.0f}" if (name, *column) in best else "-" for column in columns]
        peers = [best[(name, *column)] for column in floats if (name, *column) in best]
        ours = best.get((name, "ours", "F16"))
        ratio = f"{ours / min(peers):.2f}" if ours and peers else "-"
        print(f"{name} | " + " | ".join(cells) + f" | {ratio}")


if __name__ == "__main__":
    main()
