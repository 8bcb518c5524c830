"""An ONNX model on onnxruntime, on CPU cores.

Shapes: N images, H height, W width, C channels.
"""

from pathlib import Path
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


def has_vnni() -> bool:
    """Whether an x86 processor has instructions for sums of int8 products, or this is another processor: onnxruntime's
    slow way costs such a processor half of its speed, and does nothing on others."""
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:  # not Linux
        return False


class OnnxNetwork:
    """An exported model. It computes in the thread that calls it: threads of its own would spin on cores that others
    need, which takes ten times the CPU time on a busy machine."""

    def __init__(self, model: bytes, images_a_run: int) -> None:
        """model: the content of a .onnx file; if it is none, whatever onnxruntime raises. images_a_run: at most; for
        more there are several runs."""
        import onnxruntime

        self._images_a_run = images_a_run
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # widths and batches differ from run to run: a plan of memory is kept for each of them, without end
        options.enable_mem_pattern = False
        options.log_severity_level = 3  # errors
        if not has_vnni():  # sums of int8 products would overflow there, unless they are computed the slow way
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def logits(self, images_NHWC: np.ndarray) -> np.ndarray:
        most = self._images_a_run
        runs = [self._run(images_NHWC[first : first + most]) for first in range(0, len(images_NHWC), most)]
        return runs[0] if len(runs) == 1 else np.concatenate(runs, axis=runs[0].ndim - 2)  # N is before the outputs

    def _run(self, images_NHWC: np.ndarray) -> np.ndarray:
        outputs: list[np.ndarray] = self._session.run([OUTPUT], {INPUT: images_NHWC})
        return outputs[0]
