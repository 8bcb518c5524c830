"""What a run is made of: defaults < recipe < horovod-ocr.toml in the working folder < command line."""

import difflib
import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from horovod_ocr.config.recipe import read_recipe, read_toml, recipe_names
from horovod_ocr.data.augment.augment import Augmentation
from horovod_ocr.data.store import read_index_at
from horovod_ocr.errors import ConfigError
from sharding.format.script.profile import PROFILES
from sharding.options import ShardOptions
from sharding.reading.check import Limits

DEVICES = ("auto", "cpu", "cuda")
SETTINGS_FILE = "horovod-ocr.toml"
TABLES = ("shard", "train")
_SPLIT_RULES = {"split", "group_from", "split_lists"}
LONGEST_WORD = 15  # letters; a set whose labels are mostly longer holds lines


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run. Periods and durations are in optimizer steps; 0 leaves the choice to the program.

    Where: shards, runs (folders), run (name; made from the recipe and the time when empty).
    How long: steps; or, when steps is 0, epochs, but at least min_steps: with fewer, CTC never leaves the plateau
    where all frames are blank.
    Model: model, model_options (of models.build_model), height in pixels.
    Plan: global_batch samples a step over all ranks, lanes, window, seed.
    Optimizer: AdamW, its lr at the peak after warmup_share of the steps, then a cosine to zero; clip_norm of the
    global gradient.
    device: auto (a GPU for each rank, or the CPU for all if there are too few), cpu, or cuda (a GPU for each).
    precision: auto, bf16, fp32, or fp64 (to prove what rounding would hide). sync_batchnorm: batch statistics over all
    ranks.
    Ranks: compression of gradients on their way, none or fp16; accumulate, parts that a rank's share of a batch is
    computed in, one after the other, for less memory: the same update (but BatchNorm sees each part alone);
    check_ranks_every_steps, that all hold the same weights; stall_timeout_s, without progress a rank ends itself.
    most_skipped: updates in a row that may be left out because they are not finite. profile: first:last step.
    Checkpoints: save_every_steps or save_every_minutes, whichever comes first; keep_checkpoints, the last ones, and of
    each of the last keep_epochs epochs its last one; most_failed_saves in a row before the run stops.
    Reading: workers, loader processes a rank, -1: choose; decoder, of data.decoders; cache_dir, a folder on this
    machine's own disk for copies of the shards, "": none, or for shards at a URL the user's cache; cache_gb, what it
    may hold, 0: nine tenths of what is free; max_bad, samples that may be damaged before the run stops.
    """

    shards: str = "shards"
    runs: str = "runs"
    run: str = ""
    recipe: str = ""
    resume: bool = False
    model: str = "crnn"
    model_options: dict = field(default_factory=dict)
    height: int = 64
    steps: int = 0
    epochs: float = 10.0
    min_steps: int = 1500
    global_batch: int = 64
    lanes: int = 48
    window: int = 4096
    seed: int = 0
    lr: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.02
    clip_norm: float = 5.0
    device: str = "auto"
    precision: str = "auto"
    sync_batchnorm: bool = False
    augment: bool = True
    augmentation: Augmentation = Augmentation()
    workers: int = -1
    decoder: str = "auto"
    cache_dir: str = ""
    cache_gb: float = 0.0
    max_bad: int = 1000
    log_every_steps: int = 20
    validate_every_steps: int = 0
    save_every_steps: int = 0
    save_every_minutes: float = 15.0
    keep_checkpoints: int = 3
    keep_epochs: int = 10
    most_failed_saves: int = 3
    compression: str = "none"
    accumulate: int = 1
    most_skipped: int = 10
    check_ranks_every_steps: int = 500
    stall_timeout_s: float = 300.0
    profile: str = ""

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class ShardSettings:
    """What [shard] of horovod-ocr.toml may say, and the options of `horovod-ocr shard`; "" and 0 leave the choice to
    the sharder. See sharding.options. src and fractions: in TOML a list; of a single src also its text."""

    src: tuple[str, ...] = ("raw",)
    out: str = "shards"
    profile: str = ""
    direction: str = ""
    layout: str = ""
    images: str = ""
    label_from_name: str = ""
    seed: int = ShardOptions.seed
    samples_per_shard: int = 0
    workers: int = 0
    check: str = ShardOptions.check
    split: str = ""
    group_from: str = ""
    split_lists: str = ""
    fractions: tuple[float, ...] = ShardOptions.fractions
    dedup: bool = ShardOptions.dedup
    max_label: int = Limits.max_label
    image: str = ShardOptions.image
    height: int = 0
    scratch: str = ""


def load_shard_options(command_line: dict, folder: Path = Path(".")) -> ShardOptions:
    """Defaults < horovod-ocr.toml < command line (fields of ShardSettings; None: not given). ConfigError for an unknown
    key, a value of another type or out of its range."""
    given = {name: value for name, value in command_line.items() if value is not None}
    shared = table_of_settings("shard", folder)
    if _SPLIT_RULES & given.keys():  # they exclude each other
        shared = {name: value for name, value in shared.items() if name not in _SPLIT_RULES}
    settings = overlay(ShardSettings(), shared, f"{folder / SETTINGS_FILE}, [shard]")
    settings = overlay(settings, given, "the command line")
    if len(settings.fractions) != 3 or not all(0 <= fraction <= 1 for fraction in settings.fractions):
        raise ConfigError(f"fractions are three numbers, of train, val and test, not {list(settings.fractions)}")
    if settings.max_label < 0:
        raise ConfigError(f"max_label must be at least 0, not {settings.max_label}")
    return ShardOptions(
        src=tuple(map(Path, settings.src)),
        out=Path(settings.out),
        profile=settings.profile or None,
        direction=settings.direction or None,
        seed=settings.seed,
        samples_per_shard=settings.samples_per_shard or None,
        workers=settings.workers or None,
        layout=settings.layout or None,
        images=Path(settings.images) if settings.images else None,
        label_from_name=settings.label_from_name or None,
        check=settings.check,
        split=settings.split or None,
        group_from=settings.group_from or None,
        split_lists=Path(settings.split_lists) if settings.split_lists else None,
        fractions=settings.fractions,
        dedup=settings.dedup,
        image=settings.image,
        height_px=settings.height or None,
        limits=Limits(max_label=settings.max_label),
        scratch=Path(settings.scratch) if settings.scratch else None,
    )


def parse_fractions(text: str) -> tuple[float, ...]:
    """`0.8,0.1,0.1` of the command line."""
    try:
        return tuple(map(float, text.split(",")))
    except ValueError as error:
        raise ConfigError(f"--fractions {text}: write three numbers, such as 0.8,0.1,0.1") from error


def load_config(recipe: str, command_line: dict, folder: Path = Path(".")) -> TrainConfig:
    """Lay the four sources over each other. ConfigError names the file and the nearest key for an unknown one."""
    shared = table_of_settings("train", folder)
    recipe = recipe or shared.get("recipe", "")
    config = overlay(TrainConfig(), read_recipe(recipe), f"recipe {recipe}")
    config = overlay(config, shared, f"{folder / SETTINGS_FILE}, [train]")
    return check_config(overlay(replace(config, recipe=recipe), command_line, "the command line"))


def overlay(config, values: dict, source: str):
    """A dataclass with some fields replaced; nested tables go into nested dataclasses."""
    known = {entry.name: getattr(config, entry.name) for entry in fields(config)}
    changes = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise ConfigError(f"{source}: no setting {key!r}; {hint}")
        current = known[key]
        if isinstance(current, Augmentation) and isinstance(value, dict):
            changes[key] = overlay(current, value, source)
        elif isinstance(current, dict) and isinstance(value, dict):
            changes[key] = current | value
        elif isinstance(current, tuple):
            changes[key] = several(value, type(current[0]), f"{source}: {key}")
        elif isinstance(current, float) and type(value) is int:
            changes[key] = float(value)
        elif type(value) is not type(current):
            raise ConfigError(f"{source}: {key} is a {type(current).__name__}, not {value!r}")
        else:
            changes[key] = value
    return replace(config, **changes)


def several(value, kind: type, where: str) -> tuple:
    """The values of a list, or one alone, as a tuple. ConfigError for an empty one and for values of another type."""
    values = value if isinstance(value, list | tuple) else [value]
    values = tuple(float(each) if kind is float and type(each) is int else each for each in values)
    if not values or any(type(each) is not kind for each in values):
        raise ConfigError(f"{where} holds values of type {kind.__name__}, not {value!r}")
    return values


def check_config(config: TrainConfig) -> TrainConfig:
    """ConfigError for a value out of its range."""
    positive = ("height", "global_batch", "lanes", "window", "lr", "clip_norm", "log_every_steps", "accumulate")
    for name in (*positive, "keep_checkpoints", "most_failed_saves", "most_skipped", "stall_timeout_s"):
        if not 0 < getattr(config, name) < math.inf:
            raise ConfigError(f"{name} must be a number above 0, not {getattr(config, name)}")
    periods = ("validate_every_steps", "save_every_steps", "save_every_minutes", "check_ranks_every_steps")
    for name in ("seed", "steps", "min_steps", *periods, "keep_epochs", "cache_gb", "max_bad"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name} must be at least 0, not {getattr(config, name)}")
    if Path(config.run).name != config.run:
        raise ConfigError(f"run is a name without folders, not {config.run!r}; give --runs for where runs lie")
    if config.seed >= 1 << 63:
        raise ConfigError(f"seed must be below 2 ** 63, not {config.seed}")
    if config.steps == 0 and not 0 < config.epochs < math.inf:
        raise ConfigError(f"steps {config.steps}, epochs {config.epochs}: one of them must be more than 0")
    if not 0 <= config.warmup_share < 1:
        raise ConfigError(f"warmup_share is a fraction of the steps, 0 to below 1, not {config.warmup_share}")
    check_device(config.device)
    if config.precision not in ("auto", "bf16", "fp32", "fp64"):
        raise ConfigError(f"precision is auto, bf16, fp32 or fp64, not {config.precision!r}")
    if config.compression not in ("none", "fp16"):
        raise ConfigError(f"compression is none or fp16, not {config.compression!r}")
    if config.profile:
        profiled_steps(config.profile)
    return config


def check_device(name: str) -> None:
    if name not in DEVICES:
        raise ConfigError(f"device is auto, cpu or cuda, not {name!r}")


def profiled_steps(text: str) -> tuple[int, int]:
    """`100:110`, the first and the last step of a profile. ConfigError for anything else."""
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise ConfigError(f"profile {text}: write the first and the last step, such as 100:110")
    return int(first), int(last)


def check_ranks(config: TrainConfig, world_size: int) -> None:
    """ConfigError for more ranks than lanes: some would have no sample."""
    if world_size > config.lanes:
        raise ConfigError(f"{world_size} ranks, but {config.lanes} lanes; give --set lanes={world_size}")


def parse_settings(assignments: list[str]) -> dict:
    """`key=value` of the command line, the value as TOML or else as text; `a.b=1` goes into table a."""
    values: dict = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: write it as key=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, name = key.strip().split(".")
        table = values
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--set {assignment}: {part} has a value already and is no table")
        table[name] = value
    return values


def with_settings(given: dict, assignments: list[str]) -> dict:
    """Named options and `--set` as one. ConfigError for a setting that both give, with other values."""
    values = parse_settings(assignments)
    for name in given.keys() & values.keys():
        if given[name] != values[name]:
            raise ConfigError(f"{name} is given twice: {given[name]!r}, and {values[name]!r} with --set")
    return given | values


def table_of_settings(command: str, folder: Path = Path(".")) -> dict:
    """A command's table in horovod-ocr.toml; empty where there is none. ConfigError for a table that no command has."""
    path = folder / SETTINGS_FILE
    tables = read_toml(path) if path.exists() else {}
    for name, table in tables.items():
        if name not in TABLES or not isinstance(table, dict):
            raise ConfigError(f"{path}: {name!r} is no table of settings; there are: [{'], ['.join(TABLES)}]")
    return tables.get(command, {})


def default_recipe(shards: str, folder: Path = Path(".")) -> str:
    """The packaged recipe for a shard set. If most labels are longer than words: that for lines of its script, or else
    that for lines of any. For words: its script's; "", the plain defaults, if it has none.

    ShardError where there are no shards.
    """
    shared = table_of_settings("train", folder)
    if "recipe" in shared:
        return shared["recipe"]
    index = read_index_at(shards or shared.get("shards", TrainConfig.shards))
    samples = sum(index.label_lengths.values())
    long = sum(count for length, count in index.label_lengths.items() if length > LONGEST_WORD)
    # a profile file may have any name, that of a recipe for something else too
    script = index.profile.name if index.profile.name in PROFILES else ""
    if 2 * long > samples:
        return f"{script}-lines" if f"{script}-lines" in recipe_names() else "lines"
    return script if script in recipe_names() else ""
