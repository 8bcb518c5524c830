"""The settings of a training run.

Each field states its type, its range and its default, and below it what it means. A setting is known by its own name
(`lr`), or by its table's as well (`optimizer.lr`); see `overlay`.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt

from horovod_ocr.config.overlay import flatten, overlay, settings_of
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.errors import ConfigError
from sharding.format.frames import MOST_PX

Device = Literal["auto", "cpu", "cuda"]
Engine = Literal["auto", "horovod", "torch", "data-parallel"]
MOST_STEPS = 1_000_000_000_000
LOCAL = ("weight-average", "diloco")  # exchanges in which ranks step alone until they meet


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from and how they are read."""

    shards: str = "shards"
    """Folder of the shards; or http(s)://, s3://, gs://, pipe:COMMAND."""
    workers: Annotated[int, Ge(-1)] = -1
    """Loader processes of a rank; -1 chooses, 0: the rank reads in its own process."""
    decoder: str = "auto"
    """auto: the fastest that is installed; pillow; fast: an error if a fast one is missing."""
    cache_dir: Annotated[str | None, "FOLDER"] = None
    """Copy shards to this folder on the host's own disk when they are first read.  [default: if they are at a URL]"""
    cache_gb: Annotated[float | None, Gt(0), Le(1e6)] = None
    """The most that the cache may hold.  [default: nine tenths of what is free]"""
    max_bad: Annotated[int, Ge(0), "SAMPLES"] = 1000
    """Stop if more samples than this are damaged."""
    augment: bool = True
    """Change training images at random."""
    augmentation: Augmentation = Augmentation()
    """Strength of each change."""

    @property
    def cache_bytes(self) -> int | None:
        """The most bytes that the cache may hold; None: choose."""
        return int(self.cache_gb * 1e9) if self.cache_gb else None


@dataclass(frozen=True)
class NetworkConfig:
    """What is trained, and on images of which size."""

    model: str = "crnn"
    """Name of the model."""
    model_options: dict[str, Any] = field(default_factory=dict)
    """Options of the model."""
    height: Annotated[int, Ge(1), Le(MOST_PX)] = 64
    """Images are scaled to this many pixels; images of classes are as wide."""
    pixels: Literal["auto", "grey", "rgb"] = "auto"
    """grey or rgb; auto: grey for words, rgb for classes."""


@dataclass(frozen=True)
class PlanConfig:
    """How long a run is, and which samples each step holds."""

    steps: Annotated[int | None, Ge(0), Le(MOST_STEPS)] = None
    """Optimizer steps of the run; overrides epochs."""
    epochs: Annotated[float, Ge(0), Le(MOST_STEPS)] = 10.0
    """Passes over the train split. On the command line it overrides steps and min_steps."""
    min_steps: Annotated[int, Ge(0), Le(MOST_STEPS)] = 1500
    """epochs are at least this many steps: with fewer, a model may not have begun to learn."""
    global_batch: Annotated[int, Ge(1), Le(1_000_000)] = 64
    """Samples of a step over all ranks."""
    lanes: Annotated[int, Ge(1), Le(10_000)] = 48
    """Parts of an epoch, each read in sequence by one rank: the most ranks a run can have."""
    window: Annotated[int, Ge(1), Le(1_000_000_000)] = 4096
    """Samples of a lane that are shuffled together."""


@dataclass(frozen=True)
class LossConfig:
    """What the loss of classes is like; that of words has no settings."""

    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Classes: this share of the target is spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """Classes; balanced: a sample counts the more, the fewer there are of its class."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up, then a cosine to zero."""

    lr: Annotated[float, Gt(0)] = 2e-3
    """Peak learning rate."""
    warmup_share: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the steps before the peak."""
    weight_decay: Annotated[float, Ge(0)] = 0.02
    """Weight decay of AdamW; none on one-dimensional weights."""
    clip_norm: Annotated[float, Gt(0)] = 5.0
    """Largest norm of the global gradient."""
    most_skipped: Annotated[int, Ge(1)] = 10
    """Stop after this many updates in a row that were not finite."""


@dataclass(frozen=True)
class RanksConfig:
    """What ranks compute on, and how they work together."""

    engine: Engine = "auto"
    """What moves bytes between ranks; auto: what the launcher serves; data-parallel: one process for all its GPUs."""
    device: Device = "auto"
    """auto: a GPU for each rank, or the CPU for all."""
    precision: Literal["auto", "bf16", "fp32", "fp64"] = "auto"
    """Precision of the computation; auto: bf16 if the devices of all ranks multiply in it, otherwise fp32."""
    sync_batchnorm: bool = False
    """Batch statistics over all ranks."""
    accumulate: Annotated[int, Ge(1), "PARTS"] = 1
    """Compute a rank's share of a batch in this many parts, for less memory."""
    check_ranks_every_steps: Annotated[int | None, Ge(1)] = 500
    """Compare the weights of all ranks this often; 0: never."""
    stall_timeout_s: Annotated[float, Gt(0), Le(1e6)] = 300.0
    """A rank without progress for this long ends itself."""


@dataclass(frozen=True)
class ExchangeConfig:
    """How gradients, or weights, of the ranks meet."""

    exchange: Literal["allreduce", "parameter-server", "sharded-server", "weight-average", "diloco", "powersgd"] = (
        "allreduce"
    )
    """How gradients, or weights, of the ranks meet."""
    compression: Literal["none", "fp16"] = "none"
    """allreduce: how gradients travel between ranks; fp16 halves their bytes."""
    local_steps: Annotated[int, Ge(1), Le(1_000_000)] = 16
    """weight-average and diloco: steps that a rank takes alone before weights meet."""
    powersgd_rank: Annotated[int, Ge(1), Le(1000)] = 4
    """powersgd: rank of the matrices as which gradients travel."""

    @property
    def steps_alone(self) -> int:
        """The most steps before a request to stop is heard; 0 if all ranks meet in each step."""
        return self.local_steps if self.exchange in LOCAL else 0


@dataclass(frozen=True)
class CheckpointsConfig:
    """When checkpoints are written, and which are kept."""

    save_every_steps: Annotated[int | None, Ge(1)] = None
    """Steps between checkpoints.  [default: a tenth of the run, at most 5,000]"""
    save_every_minutes: Annotated[float | None, Gt(0)] = 15.0
    """Minutes between checkpoints, if that comes first; 0: only steps decide."""
    keep_checkpoints: Annotated[int, Ge(1)] = 3
    """Keep this many of the last checkpoints."""
    keep_epochs: Annotated[int, Ge(0)] = 10
    """Also keep the last checkpoint of each of this many latest epochs."""
    most_failed_saves: Annotated[int, Ge(1)] = 3
    """Stop after this many checkpoints in a row that could not be written."""


@dataclass(frozen=True)
class LogConfig:
    """What a run says of itself, and how often."""

    log_every_steps: Annotated[int, Ge(1)] = 20
    """Steps between log lines."""
    validate_every_steps: Annotated[int | None, Ge(1)] = None
    """Steps between validations.  [default: a tenth of the run, at most 5,000]"""
    profile: Annotated[str | None, "FIRST:LAST"] = None
    """First and last step to trace, such as 100:110, for chrome://tracing."""


@dataclass(frozen=True)
class TrainConfig:
    """All settings of one training run."""

    run: str | None = None
    """Name of the run; the folder below runs.  [default: the recipe and the time]"""
    runs: Annotated[str, "FOLDER"] = "runs"
    """Folder of the runs."""
    recipe: str | None = None
    """Packaged recipe, or a .toml file.  [default: chosen by the shards]"""
    resume: bool = False
    """Continue from LAST of the named run, or of the newest."""
    init_from: Annotated[str | None, "FILE|FOLDER"] = None
    """Weights that a new run begins with: of a checkpoint, a run's folder, or a state dict."""
    seed: Annotated[int, Ge(0), Lt(1 << 63)] = 0
    """Decides the initial weights, the order of samples and augmentation."""
    network: NetworkConfig = NetworkConfig()
    """Table: what is trained, and on images of which size."""
    data: DataConfig = DataConfig()
    """Table: where samples come from and how they are read."""
    plan: PlanConfig = PlanConfig()
    """Table: how long the run is, and which samples each step holds."""
    loss: LossConfig = LossConfig()
    """Table: what the loss of classes is like."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Table: AdamW and the learning rate."""
    ranks: RanksConfig = RanksConfig()
    """Table: what ranks compute on, and how they work together."""
    exchange: ExchangeConfig = ExchangeConfig()
    """Table: how gradients, or weights, of the ranks meet."""
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    """Table: when checkpoints are written, and which are kept."""
    log: LogConfig = LogConfig()
    """Table: what the run says of itself, and how often."""

    @classmethod
    def of(cls, **settings: Any) -> "TrainConfig":
        """From settings by their own names, whichever table they are in. ConfigError as `overlay`."""
        return overlay(cls(), settings, "settings")

    def to_dict(self) -> dict[str, Any]:
        """Every setting by its own name: what a checkpoint holds, and the first lines of a run show."""
        return {name: setting.of(self) for name, setting in settings_of(TrainConfig).items()} | {
            "augmentation": asdict(self.data.augmentation)
        }


def lay_over(config: TrainConfig, values: dict[str, Any], source: str) -> TrainConfig:
    """`overlay`; values that name another model replace the options of the model before."""
    network = config.network
    if flatten(TrainConfig, values, source).get("model", network.model) != network.model:
        config = replace(config, network=replace(network, model_options={}))
    return overlay(config, values, source)


def check_config(config: TrainConfig) -> TrainConfig:
    """The config. ConfigError for settings that do not go together; `overlay` has checked each alone."""
    if config.run:
        check_run_name(config.run)
    if not config.plan.steps and not config.plan.epochs:
        raise ConfigError("steps 0, epochs 0: one of them must be more than 0")
    if config.log.profile:
        profiled_steps(config.log.profile)
    exchange, compression = config.exchange.exchange, config.exchange.compression
    if compression != "none" and exchange != "allreduce":  # a run that is resumed may have either from its checkpoint
        raise ConfigError(
            f"compression {compression} goes with exchange allreduce, not with {exchange}; give --compression none"
        )
    return config


def check_run_name(name: str) -> str:
    """The name of a run's folder. ConfigError for what would be another folder than one in the folder of the runs."""
    if Path(name).name != name or name == ".." or min(name) < " ":
        raise ConfigError(f"run is a name without folders, not {name!r}; give --runs for the folder of the runs")
    return name


def profiled_steps(text: str) -> tuple[int, int]:
    """`100:110`, the first and the last step of a profile. ConfigError for anything else."""
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ConfigError(f"profile {text}: write the first and the last step, such as 100:110")
    return int(first), int(last)


def check_device(name: str) -> None:
    """ConfigError for what is not a Device."""
    if name not in get_args(Device):
        raise ConfigError(f"device is auto, cpu or cuda, not {name!r}")


def check_engine(name: str) -> None:
    """ConfigError for what is not an Engine."""
    if name not in get_args(Engine):
        raise ConfigError(f"engine is auto, horovod, torch or data-parallel, not {name!r}")


def check_ranks(lanes: int, world_size: int) -> None:
    """ConfigError for more ranks than lanes: some would have no sample."""
    if world_size > lanes:
        raise ConfigError(f"{world_size} ranks, but {lanes} lanes; give --set lanes={world_size}")
