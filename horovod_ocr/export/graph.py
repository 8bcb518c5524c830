"""A trained model as an ONNX graph in float32.

The graph takes images as the stream makes them (uint8, N x H x W x C) and normalises them itself, so that whoever uses
it needs no arithmetic of ours. N and W may be anything; W a multiple of 8 (data.image.WIDTH_STEP_PX).
"""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from horovod_ocr.data.batch import normalise_images
from horovod_ocr.data.image import WIDTH_STEP_PX, Geometry
from horovod_ocr.errors import ExportError
from horovod_ocr.models.base import FrameModel, ImageModel
from horovod_ocr.recognizer.network import INPUT, OUTPUT

OPSET = 18
MOST_STEPS = 1 << 20  # of WIDTH_STEP_PX; torch wants a limit


class FromLevels(nn.Module):
    """A model with its normalisation before it."""

    def __init__(self, model: ImageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images_NHWC: Tensor) -> Tensor:
        logits: Tensor = self.model(normalise_images(images_NHWC, images_NHWC.device))
        return logits


def build_graph(model: ImageModel, geometry: Geometry) -> onnx.ModelProto:
    """The ONNX model. model: in evaluation mode, float32, on the CPU."""
    levels = np.random.default_rng(0).integers(0, 256, (2, geometry.height, example_width(geometry), geometry.channels))
    any_size: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if not geometry.is_photo:
        # said as a multiple, so that torch can tell how many frames that makes
        any_size[2] = WIDTH_STEP_PX * torch.export.Dim("steps", min=1, max=MOST_STEPS)
    with quiet(), torch.no_grad():
        exported = torch.onnx.export(
            FromLevels(model).eval(),
            (torch.from_numpy(levels.astype(np.uint8)),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=(any_size,),
            opset_version=OPSET,
            verbose=False,
        )
    assert exported is not None
    graph = exported.model_proto
    simplify_lstms(graph)
    graph = folded(graph)
    name_sizes(graph, isinstance(model, FrameModel))
    number_names(graph)
    return graph


def example_width(geometry: Geometry) -> int:
    """Of the images that the model is traced with: another size than the height, so that both are told apart."""
    return geometry.width or geometry.round_up(geometry.height * 1.5) + WIDTH_STEP_PX


def simplify_lstms(model: onnx.ModelProto) -> None:
    """Leave out what torch computes around an LSTM: initial states of zeros, which are the default, and the shape that
    joins the two directions, which it gets wrong for some sizes."""
    taken_by = {name: node for node in model.graph.node for name in node.input}
    for node in [each for each in model.graph.node if each.op_type == "LSTM"]:
        del node.input[5:]
        turned = taken_by[node.output[0]]
        joined = taken_by[turned.output[0]]
        if (turned.op_type, joined.op_type) != ("Transpose", "Reshape"):
            raise ExportError(f"torch {torch.__version__} writes LSTMs in another way; tell the authors of horovod-ocr")
        shape = numpy_helper.from_array(np.array([0, 0, -1]), f"{node.name}_joined")
        model.graph.initializer.append(shape)
        joined.input[1] = shape.name
        del joined.attribute[:]  # allowzero: a 0 means a size that stays
    drop_unused(model)


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with everything computed that is constant: torch writes the LSTM's weights as a chain of slices,
    which would be computed at each start, and which quantisation could not see through."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def name_sizes(model: onnx.ModelProto, has_frames: bool) -> None:
    """Call the sizes that may vary by their names, and drop what torch and onnxruntime wrote about where nodes came
    from: paths of the machine that exported."""
    sizes = {INPUT: ("batch", None, "width", None), OUTPUT: ("frames", "batch", None) if has_frames else ("batch",)}
    for value in (*model.graph.input, *model.graph.output):
        for size, name in zip(value.type.tensor_type.shape.dim, sizes[value.name], strict=False):
            if name and not (name == "width" and size.HasField("dim_value")):  # of photos it is fixed
                size.dim_param = name  # torch takes some sizes of its example for fixed ones
    del model.graph.value_info[:]
    for opset in [each for each in model.opset_import if each.domain]:  # onnxruntime lists all that it knows
        model.opset_import.remove(opset)
    for each in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        each.doc_string = ""
        del each.metadata_props[:]
    for initializer in model.graph.initializer:
        initializer.doc_string = ""


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the nodes and the constants whose values nothing takes."""
    used = {OUTPUT}
    for node in reversed(list(model.graph.node)):  # they are in the order of computation
        if used.isdisjoint(node.output):
            model.graph.node.remove(node)
        else:
            used.update(node.input)
    for initializer in [each for each in model.graph.initializer if each.name not in used]:
        model.graph.initializer.remove(initializer)


def number_names(model: onnx.ModelProto) -> None:
    """Name nodes and values by their order: torch counts them over all that one process exports, and the same model
    would not make the same bytes. Weights keep the names of torch."""
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{number}"
        for position, name in enumerate(node.input):
            is_parameter = name.startswith("model.")
            node.input[position] = names.setdefault(name, name if is_parameter else f"{node.name}_{position}")
        for position, name in enumerate(node.output):
            node.output[position] = names.setdefault(name, f"{node.name}_out" + (f"_{position}" if position else ""))
    ordered = [weights[name] for name in names if name in weights]
    for weight in ordered:
        weight.name = names[weight.name]
    del graph.initializer[:]
    graph.initializer.extend(ordered)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters print and log of their own steps."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "")]
    levels = [each.level for each in loggers]
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
