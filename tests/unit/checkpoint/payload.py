"""The smallest thing that is a whole checkpoint."""

import torch
from torch import nn

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile


def tiny_payload(value: float = 0.0, epoch: float = 0.0, size: int = 3) -> dict:
    """With every field that the loop writes; `value` is in its weights, of which there are size + 1."""
    model = nn.Linear(size, 1)
    nn.init.constant_(model.weight, value)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(size)).sum().backward()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
        "best": 0.5,
        "rng": [torch.get_rng_state()],
        "config": TrainConfig().to_dict(),
        "task": WordTask(Charset.build({"a": 2, "b": 1}, build_profile("latin"))).to_dict(),
        "model_name": "crnn",
        "model_options": {"width": 0.5},
        "geometry": Geometry(64, (2.0, 4.0)).to_dict(),
        "plan": {"index_digest": "0" * 64, "seed": 0, "lanes": 48, "global_batch": 64, "window": 4},
        "versions": {"torch": str(torch.__version__)},
    }
