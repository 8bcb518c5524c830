"""An ONNX model on onnxruntime, on CPU cores.

Shapes: N images, H height, W width, C channels.
"""

from typing import Protocol

import numpy as np

INPUT = "images"
"""Name of the only input of an exported model: uint8 (N, H, W, C)."""
OUTPUT = "logits"
"""Name of its only output: float32, as `models.forward.ModelOutput.logits`."""


class Network(Protocol):
    """Images to unnormalised scores. Several threads may call it at once."""

    def logits(self, images_NHWC: np.ndarray) -> np.ndarray:
        """images_NHWC: uint8, of one width. Returns float32 (T, N, outputs), or (N, outputs) of a classifier."""


class OnnxNetwork:
    """An exported model. It computes in the thread that calls it: threads of its own would spin on cores that others
    need, which takes ten times the CPU time on a busy machine."""

    def __init__(self, model: bytes) -> None:
        """model: the content of a .onnx file. Raises whatever onnxruntime raises if it is none."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # widths and batches differ from run to run: a plan of memory is kept for each of them, without end
        options.enable_mem_pattern = False
        options.log_severity_level = 3  # errors
        # on processors without VNNI, sums of int8 products would overflow unless one is asked for precision
        options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def logits(self, images_NHWC: np.ndarray) -> np.ndarray:
        outputs: list[np.ndarray] = self._session.run([OUTPUT], {INPUT: images_NHWC})
        return outputs[0]
