"""What the ranks of a study are asked to measure. No torch."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from horovod_ocr.config.train import RanksConfig, TrainConfig
from horovod_ocr.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """What the ranks measure."""

    ways: tuple[str, ...]
    """By the names of `ways.WAYS`."""
    samples: int
    """Of a rank in a step."""
    local_steps: int
    """Of ways that step alone."""
    seconds: float
    """For each way, about."""
    device: str
    """As in RanksConfig."""
    powersgd_rank: int = 4
    """As in ExchangeConfig."""
    step_ms: float | None = None
    """Of the simulated computation of a rank; None: a recipe's model computes."""
    parameters: int = 0
    """Of the model that sleeps."""
    recipe: str | None = None
    """That is trained."""
    settings: dict[str, Any] | None = None
    """Of training, laid over the recipe."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def shared_by(self, ranks: int) -> "Request":
        """The request for the rank with the largest share, if `ranks` ranks share the samples. ConfigError for fewer
        samples than ranks."""
        if self.samples < ranks:
            raise ConfigError(f"{self.samples} samples for {ranks} ranks; give a larger --global-batch")
        step_ms = None if self.step_ms is None else self.step_ms / ranks
        return replace(self, samples=-(-self.samples // ranks), step_ms=step_ms)


NOT_HEEDED = {
    "exchange": "--ways",
    "compression": "--ways",
    "engine": "--ways",
    "sync_batchnorm": None,
    "accumulate": None,
}
"""Setting that a measured step ignores -> the option to use instead; None: there is none."""


def not_measured(config: TrainConfig) -> list[str]:
    """Settings of a recipe that a measured step does not heed, and that no option does."""
    usual, names = RanksConfig(), [name for name, option in NOT_HEEDED.items() if option is None]
    return [name for name in names if getattr(config.ranks, name) != getattr(usual, name)]


def request_of(config: TrainConfig, given: dict[str, Any], ways: Sequence[str], seconds: float) -> Request:
    """Of one rank with the whole batch of a config. given: the settings that are laid over its recipe, but for the
    recipe. ConfigError for those that a measured step does not heed."""
    if config.ranks.precision == "fp64":
        raise ConfigError("a measured step computes in bf16 or fp32, not in fp64; leave precision out")
    for name, option in NOT_HEEDED.items():
        if name in given:
            instead = f"choose what is measured with {option}" if option else "leave it out"
            raise ConfigError(f"{name} is not part of a measured step; {instead}")
    return Request(
        ways=tuple(ways),
        samples=config.plan.global_batch,
        local_steps=config.exchange.local_steps,
        seconds=seconds,
        device=config.ranks.device,
        powersgd_rank=config.exchange.powersgd_rank,
        recipe=config.recipe,
        settings=given,
    )
