"""The ways to train on several ranks that a study compares. No torch."""

from typing import NamedTuple

from horovod_ocr.config.train import LOCAL, TrainConfig
from horovod_ocr.errors import ConfigError


class Way(NamedTuple):
    """An exchange, and what it runs on."""

    exchange: str
    """As in ExchangeConfig."""
    compression: str = "none"
    """As in ExchangeConfig."""
    engine: str = "horovod"
    """What moves the bytes; torch with allreduce: DistributedDataParallel."""

    @property
    def is_local(self) -> bool:
        """Whether ranks take steps alone between two meetings."""
        return self.exchange in LOCAL

    @property
    def is_exact(self) -> bool:
        """Whether its weights are those of one rank with the whole batch."""
        return self.exchange in ("allreduce", "parameter-server", "sharded-server") and self.compression == "none"

    @property
    def meets(self) -> bool:
        """Whether several ranks meet; data-parallel is one process."""
        return self.engine != "data-parallel"

    @property
    def collectives(self) -> tuple[str, ...]:
        """The bare collectives that it is forecast from: an allreduce of fp32, of fp16, or of torch; a star; messages
        to neighbours."""
        if self.exchange == "parameter-server":
            return ("fp32", "star")
        if self.exchange == "sharded-server":
            return ("fp32", "neighbours")
        if self.engine == "torch":
            return ("fp32", "torch")
        return ("fp32", "fp16") if self.compression == "fp16" else ("fp32",)

    def options(self, config: TrainConfig) -> str:
        """How train, with this config, is told to go this way; "" if it does."""
        had = config.exchange
        typed = [] if self.exchange == had.exchange else [f"--exchange {self.exchange}"]
        typed += [] if self.compression == had.compression else [f"--compression {self.compression}"]
        typed += ["--no-sync-batchnorm"] if self.is_local and config.ranks.sync_batchnorm else []
        return " ".join(typed)


WAYS = {
    "allreduce": Way("allreduce"),
    "allreduce-fp16": Way("allreduce", "fp16"),
    "parameter-server": Way("parameter-server"),
    "sharded-server": Way("sharded-server"),
    "weight-average": Way("weight-average"),
    "diloco": Way("diloco"),
    "powersgd": Way("powersgd"),
    "torch-ddp": Way("allreduce", engine="torch"),
    "data-parallel": Way("allreduce", engine="data-parallel"),
}
"""Name -> way."""
USUAL = tuple(name for name, way in WAYS.items() if way.engine == "horovod")
"""What a study measures unless it is told otherwise."""


def ways_named(text: str | None) -> tuple[str, ...]:
    """The names of a text, with commas between them, in the order of WAYS; None: USUAL. ConfigError for one that there
    is not."""
    names = USUAL if text is None else [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - set(WAYS)):
        raise ConfigError(f"no way {unknown[0]!r} to exchange; there are: {', '.join(WAYS)}")
    return tuple(name for name in WAYS if name in names)


class LeftOut(Exception):
    """Why a way is not measured."""
