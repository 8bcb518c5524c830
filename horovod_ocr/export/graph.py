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

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from horovod_ocr.data.batch import normalise_images
from horovod_ocr.data.image import WIDTH_STEP_PX, Geometry
from horovod_ocr.models.base import FrameModel, ImageModel
from horovod_ocr.recognizer.network import INPUT, OUTPUT

OPSET = 18


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
    any_size = {0: torch.export.Dim.DYNAMIC}
    if not geometry.is_photo:
        any_size[2] = torch.export.Dim.DYNAMIC
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
    graph = folded(exported.model_proto)
    name_sizes(graph, isinstance(model, FrameModel))
    return graph


def example_width(geometry: Geometry) -> int:
    """Of the images that the model is traced with: another size than the height, so that both are told apart."""
    return geometry.width or geometry.round_up(geometry.height * 1.5) + WIDTH_STEP_PX


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
            if name and not size.HasField("dim_value"):
                size.dim_param = name
    del model.graph.value_info[:]
    for each in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        each.doc_string = ""
        del each.metadata_props[:]
    for initializer in model.graph.initializer:
        initializer.doc_string = ""


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
