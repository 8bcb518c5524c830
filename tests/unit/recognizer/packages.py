"""Small exports with random weights, made in milliseconds: no torch, no training."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from horovod_ocr.data.image import Geometry
from horovod_ocr.recognizer.network import INPUT, OUTPUT
from horovod_ocr.recognizer.package import ABOUT, FORMAT, MODEL_NAMES, VERSION
from horovod_ocr.tasks.readers import ClassReader, Reader, WordReader
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile

FRAME_PX = 4
WORDS = WordReader(Charset.build("ابپتٹجدرسکگلمنہی ۱۲۳", build_profile("urdu")))
CLASSES = ClassReader(("cat", "dog", "emu"))
WORD_GEOMETRY, CLASS_GEOMETRY = Geometry(32, (1.0, 2.0, 4.0)), Geometry(16, (1.0,), 16, 3)


def network_of(reader: Reader, geometry: Geometry, seed: int = 0) -> bytes:
    """A model of one convolution: of words a kernel as wide as a frame, of classes one as large as the image."""
    rng = np.random.default_rng(seed)
    is_words = reader.kind == "words"
    kernel = (geometry.height, FRAME_PX if is_words else geometry.width)
    weights = rng.normal(0, 4 / np.sqrt(np.prod(kernel)), (reader.outputs, geometry.channels, *kernel))
    constants = {
        "scale": np.array(-255, np.float32),
        "half": np.array(0.5, np.float32),
        "weights": weights.astype(np.float32),
        "bias": rng.normal(0, 0.5, reader.outputs).astype(np.float32),
        "axes": np.array([2] if is_words else [2, 3]),
    }
    nodes = [
        helper.make_node("Transpose", [INPUT], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "half"], ["normal"]),
        helper.make_node(
            "Conv", ["normal", "weights", "bias"], ["features"], strides=list(kernel), kernel_shape=kernel
        ),
        helper.make_node("Squeeze", ["features", "axes"], ["rows" if is_words else OUTPUT]),
    ]
    if is_words:
        nodes.append(helper.make_node("Transpose", ["rows"], [OUTPUT], perm=[2, 0, 1]))
    sizes = ["batch", geometry.height, geometry.width or "width", geometry.channels]
    shape = ["frames", "batch", reader.outputs] if is_words else ["batch", reader.outputs]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, sizes)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def about_of(reader: Reader, geometry: Geometry, models: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    """The content of its recognizer.json."""
    values = {"samples": 10, **dict.fromkeys(("word_accuracy", "cer", "one_minus_ned", "accuracy", "error_rate"), 0.5)}
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": "small",
        "task": reader.to_dict(),
        "geometry": geometry.to_dict(),
        "frame_px": FRAME_PX if reader.kind == "words" else None,
        "confidence": {
            "temperature": 1.5,
            "fitted_on": "val",
            "measured_on": "test",
            "calibration_error": {name: 0.01 for name in models},
            "rejections": {
                name: [
                    {"below": 0.0, "coverage": 1.0, "error": 0.1},
                    {"below": 0.5, "coverage": 0.9, "error": 0.02},
                    {"below": 0.9, "coverage": 0.7, "error": 0.01},
                ]
                for name in models
            },
        },
        "models": {
            name: {
                "file": MODEL_NAMES[name],
                "bytes": len(model),
                "sha256": hashlib.sha256(model).hexdigest(),
                "images_a_run": 16 if name == "fp32" else 1,
            }
            for name, model in models.items()
        },
        "scores": {"split": "test", **{name: values for name in models}},
        "parity": {"compared": 500, "largest_difference": 1e-6},
        "trained": {"run": "small", "step": 7, "index_digest": "0" * 64, "model": "crnn", "parameters": 1},
        "language_model": None,
        "made_by": "horovod-ocr",
        **changes,
    }


def write_package(folder: Path, reader: Reader = WORDS, geometry: Geometry = WORD_GEOMETRY, **changes: Any) -> Path:
    """An export with a model of each precision (both compute in float32, from other weights)."""
    models = {"fp32": network_of(reader, geometry, 0), "int8": network_of(reader, geometry, 1)}
    folder.mkdir(parents=True, exist_ok=True)
    about = about_of(reader, geometry, models, **changes)
    (folder / ABOUT).write_text(json.dumps(about), "utf-8")
    for name, model in models.items():
        (folder / MODEL_NAMES[name]).write_bytes(model)
    return folder


def random_word(seed: int, width: int = 60, height: int = 40) -> np.ndarray:
    """Grey levels (H, W): dark strokes on a light ground."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(200, 256, (height, width))
    for _ in range(6):
        x, y = rng.integers(0, width), rng.integers(0, height)
        levels[y : y + rng.integers(3, 12), x : x + rng.integers(3, 12)] = rng.integers(0, 60)
    return levels.astype(np.uint8)
