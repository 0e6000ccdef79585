"""Writes the demo model's towers as ONNX graphs without weights: these lie in the open_clip folder beside the graphs.

Both architectures are put together node by node, so neither torch nor a conversion is involved; the tests compare the
results with open_clip's. The sources are timm's `tf_efficientnet_lite0` and transformers' `BertModel`.

    python -m demo.make_graphs [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from stages.models.demo.assemble import CONFIG_TEMPLATE, GRAPHS, STAGE_DEPTHS, WEIGHTS, write_model_folder

OPSET, IR_VERSION = 20, 9
"""Gelu is in ONNX since operator set 20, which goes with version 9 of the format."""

KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""By stage: Table 1 of Tan and Le 2019 (arXiv 1905.11946); Lite0 leaves out squeeze and excite only."""

BATCH_NORM_EPSILON = 1e-3
LAYER_NORM_EPSILON = 1e-12
LAYERS, HEADS, WIDTH = 6, 12, 384
MASKED = -1e9
"""What a score of attention to padding gets added: its exponential is 0."""


@dataclass
class Graph:
    """A graph under construction; weights are named as in the safetensors file, and point into it.

    Attributes:
        header: The file's header: shape and place of each tensor.
        start: Offset of the first tensor's bytes.
    """

    header: dict[str, dict[str, list[int]]]
    start: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: ArrayLike, dtype: type[np.generic]) -> str:
        """A small constant, which is part of the graph."""
        array = np.asarray(value, dtype)
        name = f"{array.dtype}{array.tolist()}"
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def weight(self, name: str) -> str:
        """A tensor of the safetensors file."""
        entry = self.header[name]
        first, end = entry["data_offsets"]
        place = {"location": WEIGHTS, "offset": str(self.start + first), "length": str(end - first)}
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        tensor.dims.extend(entry["shape"])
        tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=value) for key, value in place.items())
        self.initializers[name] = tensor
        return name

    def linear(self, value: str, name: str, *, bias: bool = True) -> str:
        """A linear layer over the last axis; torch keeps its weights as (outputs, inputs)."""
        product = self.op("MatMul", value, self.op("Transpose", self.weight(f"{name}.weight"), perm=[1, 0]))
        return self.op("Add", product, self.weight(f"{name}.bias")) if bias else product

    def model(self, output: str, given: onnx.ValueInfoProto) -> bytes:
        """The whole model, whose output is an array of floats, shape (n, 384)."""
        self.nodes.append(helper.make_node("Identity", [output], ["embedding"]))
        result = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", WIDTH])
        graph = helper.make_graph(self.nodes, given.name, [given], [result], list(self.initializers.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="storyloom")
        return bytes(made.SerializeToString(deterministic=True))


def photo_graph(graph: Graph) -> bytes:
    """Photos as uint8, shape (n, height, width, 3), to embeddings: the config's normalization, EfficientNet-Lite0."""
    config = json.loads(CONFIG_TEMPLATE.read_text(encoding="utf-8"))
    size = config["model_cfg"]["vision_cfg"]["image_size"]
    mean, deviation = (np.array(config["preprocess_cfg"][key]) for key in ("mean", "std"))

    def conv(value: str, name: str, norm: str, *, stride: int = 1, groups: int = 1, relu: bool = True) -> str:
        value = graph.op(
            "Conv",
            value,
            graph.weight(f"{name}.weight"),
            auto_pad="SAME_UPPER",  # as TensorFlow pads, whose weights these are
            strides=[stride, stride],
            group=groups,
        )
        parts = [graph.weight(f"{norm}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        value = graph.op("BatchNormalization", value, *parts, epsilon=BATCH_NORM_EPSILON)
        limits = graph.constant(0, np.float32), graph.constant(6, np.float32)
        return graph.op("Clip", value, *limits) if relu else value

    def block(value: str, name: str, kernel_stride: int, *, first: bool) -> str:
        names = ("conv_dw", "conv_pw") if first else ("conv_pw", "conv_dw", "conv_pwl")
        for number, layer in enumerate(names, 1):
            wide = layer == "conv_dw"
            value = conv(
                value,
                f"{name}.{layer}",
                f"{name}.bn{number}",
                stride=kernel_stride if wide else 1,
                groups=graph.header[f"{name}.conv_dw.weight"]["shape"][0] if wide else 1,
                relu=number < len(names),
            )
        return value

    floats = graph.op("Cast", "pixels", to=TensorProto.FLOAT)
    scaled = graph.op("Mul", floats, graph.constant(1 / (255 * deviation), np.float32))
    value = graph.op("Add", scaled, graph.constant(-mean / deviation, np.float32))
    value = graph.op("Transpose", value, perm=[0, 3, 1, 2])
    trunk = "visual.trunk"
    value = conv(value, f"{trunk}.conv_stem", f"{trunk}.bn1", stride=2)
    for stage, (depth, stride) in enumerate(zip(STAGE_DEPTHS, STRIDES, strict=True)):
        for number in range(depth):
            made = block(value, f"{trunk}.blocks.{stage}.{number}", 1 if number else stride, first=stage == 0)
            value = graph.op("Add", made, value) if number else made  # a stage's first block changes the shape
    value = conv(value, f"{trunk}.conv_head", f"{trunk}.bn2")
    value = graph.op("Flatten", graph.op("GlobalAveragePool", value))
    output = graph.linear(value, "visual.head.proj")
    return graph.model(output, helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", size, size, 3]))


def sentence_graph(graph: Graph) -> bytes:
    """Token numbers, shape (n, length), 0 where a text has ended, to embeddings: MiniLM, mean over the tokens."""
    bert = "text.transformer"

    def norm(value: str, name: str) -> str:
        parts = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
        return graph.op("LayerNormalization", value, *parts, axis=-1, epsilon=LAYER_NORM_EPSILON)

    def heads(value: str, perm: list[int]) -> str:
        split = graph.op("Reshape", value, graph.constant([0, 0, HEADS, WIDTH // HEADS], np.int64))
        return graph.op("Transpose", split, perm=perm)

    def attention(value: str, name: str) -> str:
        query, key, content = (graph.linear(value, f"{name}.self.{part}") for part in ("query", "key", "value"))
        scores = graph.op("MatMul", heads(query, [0, 2, 1, 3]), heads(key, [0, 2, 3, 1]))
        scores = graph.op("Mul", scores, graph.constant((WIDTH // HEADS) ** -0.5, np.float32))
        shares = graph.op("Softmax", graph.op("Add", scores, hidden), axis=-1)
        mixed = graph.op("Transpose", graph.op("MatMul", shares, heads(content, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
        joined = graph.op("Reshape", mixed, graph.constant([0, 0, WIDTH], np.int64))
        added = graph.op("Add", graph.linear(joined, f"{name}.output.dense"), value)
        return norm(added, f"{name}.output.LayerNorm")

    real = graph.op("Cast", graph.op("Cast", "tokens", to=TensorProto.BOOL), to=TensorProto.FLOAT)
    absent = graph.op("Sub", graph.constant(1, np.float32), real)
    hidden = graph.op("Mul", absent, graph.constant(MASKED, np.float32))
    hidden = graph.op("Unsqueeze", hidden, graph.constant([1, 2], np.int64))
    length = graph.op("Shape", "tokens", start=1)
    embeddings = f"{bert}.embeddings"
    words = graph.op("Gather", graph.weight(f"{embeddings}.word_embeddings.weight"), "tokens")
    zero, axis = graph.constant([0], np.int64), graph.constant([0], np.int64)
    places = graph.op("Slice", graph.weight(f"{embeddings}.position_embeddings.weight"), zero, length, axis)
    first = graph.constant(0, np.int64)
    kind = graph.op("Gather", graph.weight(f"{embeddings}.token_type_embeddings.weight"), first)
    value = norm(graph.op("Add", graph.op("Add", words, kind), places), f"{embeddings}.LayerNorm")
    for number in range(LAYERS):
        layer = f"{bert}.encoder.layer.{number}"
        value = attention(value, f"{layer}.attention")
        wide = graph.op("Gelu", graph.linear(value, f"{layer}.intermediate.dense"))
        value = norm(graph.op("Add", graph.linear(wide, f"{layer}.output.dense"), value), f"{layer}.output.LayerNorm")
    weights = graph.op("Unsqueeze", real, graph.constant([2], np.int64))
    middle = graph.constant([1], np.int64)
    total = graph.op("ReduceSum", graph.op("Mul", value, weights), middle, keepdims=0)
    mean = graph.op("Div", total, graph.op("ReduceSum", weights, middle, keepdims=0))
    output = graph.linear(mean, "text.proj", bias=False)
    return graph.model(output, helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "length"]))


def graphs(folder: Path) -> dict[str, bytes]:
    """Both graphs over the weights of an assembled folder, by file name."""
    with (folder / WEIGHTS).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    photo, sentence = (made(Graph(header, 8 + size)) for made in (photo_graph, sentence_graph))
    return dict(zip((path.name for path in GRAPHS), (photo, sentence), strict=True))


def main() -> None:
    """Writes both graphs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=GRAPHS[0].parent)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        write_model_folder(Path(scratch), Path(scratch))
        for name, content in graphs(Path(scratch)).items():
            (out / name).write_bytes(content)
            print(f"{out / name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
