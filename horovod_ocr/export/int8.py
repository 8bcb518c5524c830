"""An ONNX graph in int8: convolutions computed in int8, the other weights stored in int8.

Convolutions are quantised statically, per output channel: the ranges of activations come from training images, so that
nothing depends on what else is in a batch. (Dynamic quantisation takes its ranges from the whole batch: a reading would
change with its neighbours. Of convolutions it is slow as well, and ruins those that are depthwise.) LSTMs and dense
layers keep computing in float32, from weights of 8 bits that are scaled back once, when the model is loaded.

The levels of an image are the first activation as they are: 8 bits already, in steps of 1/255.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from horovod_ocr.errors import ExportError
from horovod_ocr.export.graph import quiet
from horovod_ocr.recognizer.network import INPUT

LEVELS = "levels"  # the name of the first activation
MIDDLE = 128  # the level that becomes 0
STEP = np.array(1 / 255, np.float32)
LEAST_WEIGHTS = 512  # smaller tensors stay float32
# of the inputs of an operator that are weights: (position, axis of its outputs)
WEIGHT_INPUTS = {"LSTM": ((1, 1), (2, 1)), "MatMul": ((1, 1),)}


def quantise(model: onnx.ModelProto, images: Iterable[np.ndarray]) -> onnx.ModelProto:
    """A new model, in int8. model: of `build_graph`. images: uint8 (N, H, W, C) to take the ranges from, a batch each.

    Raises ExportError if the graph does not begin as those of `build_graph` do.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.batches = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(from_levels(model), source)
        quantize_static(
            source,
            target,
            Calibration(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "MaxPool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": {LEVELS: [{"scale": STEP, "zero_point": np.array(MIDDLE, np.uint8)}]}
            },
        )
        quantised = onnx.load(target)
    take_levels(quantised)
    store_weights(quantised)
    del quantised.metadata_props[:]
    return quantised


def from_levels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function with (level - 128) / 255 as its first activation instead of 0.5 - level / 255: the sign and the
    half step move into the first convolution."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = {output: node for node in model.graph.node for output in node.output}
    convolution = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    chain = []
    name = convolution.input[0] if convolution else ""
    while name in nodes:
        chain.append(nodes[name])
        name = nodes[name].input[0]
    if convolution is None or [node.op_type for node in chain] != ["Add", "Div", "Cast", "Transpose"] or name != INPUT:
        raise ExportError("this model does not begin with a convolution of its images; export it with --no-int8")
    initializers = {each.name: each for each in model.graph.initializer}
    weights = numpy_helper.to_array(initializers[convolution.input[1]])
    replace_initializer(initializers[convolution.input[1]], -weights)
    shift = weights.reshape(len(weights), -1).sum(1) * np.float32(MIDDLE / 255 - 0.5)
    if len(convolution.input) > 2:
        bias = initializers[convolution.input[2]]
        replace_initializer(bias, numpy_helper.to_array(bias) - shift)
    add, divide, cast, _ = chain
    constants = {"middle": np.array(MIDDLE, np.float32), "step": STEP}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    position = list(model.graph.node).index(add)
    levels = [
        helper.make_node("Sub", [cast.output[0], "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "step"], [LEVELS]),
    ]
    for node in (add, divide):
        model.graph.node.remove(node)
    convolution.input[0] = LEVELS
    for number, node in enumerate(levels):
        model.graph.node.insert(position - 1 + number, node)
    drop_unused(model)
    return model


def take_levels(model: onnx.ModelProto) -> None:
    """Feed the images of a quantised model to its first convolution as they are: to scale them, and to quantise that
    with the same scale, changes nothing."""
    nodes = {output: node for node in model.graph.node for output in node.output}
    first = next(node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in nodes)
    quantise_node = nodes[first.input[0]]
    chain = [quantise_node]
    while chain[-1].op_type != "Cast":
        chain.append(nodes[chain[-1].input[0]])
    first.input[0] = chain[-1].input[0]
    for node in chain:
        model.graph.node.remove(node)
    drop_unused(model)


def store_weights(model: onnx.ModelProto) -> None:
    """Weights of LSTMs and dense layers as int8, with a scale for each output."""
    initializers = {each.name: each for each in model.graph.initializer}
    stored = set()
    for node in list(model.graph.node):
        for position, axis in weight_inputs_of(node):
            name = node.input[position]
            weights = initializers.get(name)
            if weights is None or name in stored or np.prod(weights.dims) < LEAST_WEIGHTS:
                continue
            if weights.data_type == onnx.TensorProto.FLOAT:
                stored.add(name)
                store_as_int8(model, weights, axis)
    drop_unused(model)


def weight_inputs_of(node: onnx.NodeProto) -> tuple[tuple[int, int], ...]:
    """(position, axis of its outputs) of those inputs of a node that are weights."""
    if node.op_type != "Gemm":
        return WEIGHT_INPUTS.get(node.op_type, ())
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return ((1, 0 if transposed else 1),)


def store_as_int8(model: onnx.ModelProto, weights: onnx.TensorProto, axis: int) -> None:
    """Replace float32 weights by int8 and scales. The first dimension of an LSTM's weights, its directions, keeps
    scales of its own."""
    values, name = numpy_helper.to_array(weights), weights.name
    summed = tuple(each for each in range(values.ndim) if each != axis and not (values.ndim == 3 and each == 0))
    scales = np.maximum(np.abs(values).max(summed, keepdims=True) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    levels = np.clip(np.rint(values / scales), -127, 127).astype(np.int8)
    model.graph.initializer.remove(weights)
    model.graph.initializer.extend(
        [numpy_helper.from_array(levels, f"{name}_int8"), numpy_helper.from_array(scales, f"{name}_scales")]
    )
    # not DequantizeLinear: that would be computed in every run, these two when the model is loaded
    model.graph.node.insert(0, helper.make_node("Mul", [f"{name}_float", f"{name}_scales"], [name]))
    cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, cast)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the constants that no node takes."""
    used = {name for node in model.graph.node for name in node.input}
    for initializer in [each for each in model.graph.initializer if each.name not in used]:
        model.graph.initializer.remove(initializer)


def replace_initializer(initializer: onnx.TensorProto, values: np.ndarray) -> None:
    initializer.CopyFrom(numpy_helper.from_array(values.astype(np.float32), initializer.name))
