"""Write a network of this folder as an ONNX file with the same weights in 32 bits.

usage: python to_onnx.py [NAME] [--out DIRECTORY]     (NAME.safetensors -> NAME.onnx; default old_faithful)

Inputs `y` (batch x d) and `log_snr` (batch x 1), output `predicted` (batch x d); the metadata are those of the safetensors file, and
center and scale.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open

HERE = Path(__file__).resolve().parent


def export(source, target):
    with safe_open(source, "numpy") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    assert metadata["activation"] == "silu" and metadata["embedding"] == "fourier", "only what train.py writes"
    dim, layers = int(metadata["dimension"]), int(metadata["layers"])
    weights = {"frequencies": tensors["embedding.frequencies"][None, :]}
    nodes = [
        helper.make_node("Mul", ["log_snr", "frequencies"], ["angle"], "angle"),
        helper.make_node("Sin", ["angle"], ["sine"], "sine"),
        helper.make_node("Cos", ["angle"], ["cosine"], "cosine"),
        helper.make_node("Concat", ["y", "sine", "cosine"], ["x0"], "embed", axis=1),
    ]
    for i in range(layers):
        weights[f"layers.{i}.weight"], weights[f"layers.{i}.bias"] = tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]
        last = i + 1 == layers
        z = "predicted" if last else f"z{i + 1}"
        nodes.append(helper.make_node("Gemm", [f"x{i}", f"layers.{i}.weight", f"layers.{i}.bias"], [z], f"layer{i}", transB=1))
        if not last:
            nodes.append(helper.make_node("Sigmoid", [z], [f"logistic{i + 1}"], f"logistic{i + 1}"))
            nodes.append(helper.make_node("Mul", [z, f"logistic{i + 1}"], [f"x{i + 1}"], f"silu{i + 1}"))

    def value(name, columns):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", columns])

    graph = helper.make_graph(
        nodes,
        Path(source).stem,
        [value("y", dim), value("log_snr", 1)],
        [value("predicted", dim)],
        [numpy_helper.from_array(np.ascontiguousarray(w, np.float32), name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="hjbridge")
    said = {key: metadata[key] for key in ("inputs", "predicts", "bandwidth", "tau_min", "horizon", "noise") if key in metadata}
    said |= {key: ", ".join(repr(float(x)) for x in tensors[key]) for key in ("center", "scale")}
    helper.set_model_props(model, said)
    onnx.checker.check_model(model, full_check=True)
    target.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="old_faithful")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    export(HERE / f"{arguments.name}.safetensors", arguments.out / f"{arguments.name}.onnx")
