"""An ONNX graph in int8: convolutions and LSTMs computed in int8, the weights of dense layers stored in int8.

Convolutions are quantised statically, per output channel: the ranges of their activations come from training images.
(Dynamic quantisation of convolutions is slow, and ruins those that are depthwise.) The first one stays in float32, in
which it is seven times as fast: it has too few inputs to fill the instructions for int8.

An LSTM is quantised dynamically: at each run its activations get the range that they have in this run. So a run must
hold one image, or a reading would change with what is read beside it; `images_a_run` tells readers so.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from horovod_ocr.export.graph import drop_unused, quiet
from horovod_ocr.recognizer.network import INPUT

LEAST_WEIGHTS = 512  # smaller tensors stay float32
DYNAMIC = ("com.microsoft", "DynamicQuantizeLSTM")  # of onnxruntime, not of ONNX
MOST_A_RUN = 16  # with more images, what a run computes no longer stays in a core's cache


def quantise(model: onnx.ModelProto, images: Iterable[NDArray[np.uint8]]) -> onnx.ModelProto:
    """A new model, in int8. model: of `build_graph`. images: (N, H, W, C) to take ranges from, a batch each."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.batches = iter(images)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            Calibration(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "MaxPool"],
            nodes_to_exclude=[node.name for node in model.graph.node if node.op_type == "Conv"][:1],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantised = onnx.load(target)
    quantise_lstms(quantised)
    store_weights(quantised)
    drop_unused(quantised)
    del quantised.metadata_props[:]
    return quantised


def images_a_run(model: onnx.ModelProto) -> int:
    """How many images a run may hold."""
    return 1 if any((node.domain, node.op_type) == DYNAMIC for node in model.graph.node) else MOST_A_RUN


def quantise_lstms(model: onnx.ModelProto) -> None:
    """LSTMs become onnxruntime's, with int8 weights and a scale for each output of each direction."""
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    for position, node in enumerate(list(graph.node)):
        if node.op_type != "LSTM":
            continue
        inputs, scales = [node.input[0], "", "", node.input[3], "", "", "", ""], []
        for number in (1, 2):
            name = node.input[number]
            # (directions, outputs, inputs) -> (directions, inputs, outputs), as this operator wants them
            levels, scale = int8_of(numpy_helper.to_array(weights[name]).transpose(0, 2, 1), inputs_axis=1)
            add_constant(model, f"{name}_levels", levels)
            add_constant(model, f"{name}_scales", scale[:, 0])
            add_constant(model, f"{name}_zeros", np.zeros_like(scale[:, 0], np.int8))
            inputs[number] = f"{name}_levels"
            scales += [f"{name}_scales", f"{name}_zeros"]
        dynamic = helper.make_node(DYNAMIC[1], [*inputs, *scales], node.output, node.name, domain=DYNAMIC[0])
        dynamic.attribute.extend(each for each in node.attribute if each.name in ("direction", "hidden_size"))
        graph.node.remove(node)
        graph.node.insert(position, dynamic)
        if not any(each.domain == DYNAMIC[0] for each in model.opset_import):
            model.opset_import.append(helper.make_opsetid(DYNAMIC[0], 1))


def store_weights(model: onnx.ModelProto) -> None:
    """Weights of dense layers as int8, with a scale for each output; they are scaled back when the model is loaded."""
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    for node in list(graph.node):
        name = node.input[1] if node.op_type in ("MatMul", "Gemm") else ""
        if name not in weights or np.prod(weights[name].dims) < LEAST_WEIGHTS:
            continue
        levels, scales = int8_of(numpy_helper.to_array(weights.pop(name)), inputs_axis=is_transposed(node))
        add_constant(model, f"{name}_levels", levels)
        add_constant(model, f"{name}_scales", scales)
        graph.initializer.remove(next(each for each in graph.initializer if each.name == name))
        # not DequantizeLinear: that would be computed in every run, these two only once
        graph.node.insert(0, helper.make_node("Mul", [f"{name}_floats", f"{name}_scales"], [name]))
        cast = helper.make_node("Cast", [f"{name}_levels"], [f"{name}_floats"], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast)


def add_constant(model: onnx.ModelProto, name: str, values: NDArray[Any]) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))


def is_transposed(node: onnx.NodeProto) -> int:
    """Of a dense layer: 1 if its weights are (outputs, inputs), 0 if they are (inputs, outputs)."""
    return int(any(each.name == "transB" and each.i for each in node.attribute))


def int8_of(weights: NDArray[np.float32], inputs_axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Levels from -127 to 127, and the scales that make weights of them: one for all that differ in the inputs alone,
    whose axis stays, with the size 1."""
    highest = np.abs(weights).max(inputs_axis, keepdims=True)
    scales = np.maximum(highest / 127, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales
