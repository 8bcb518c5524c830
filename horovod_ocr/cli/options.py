"""Options that several commands share, and options made from settings."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from horovod_ocr.config.overlay import Setting, settings_of
from horovod_ocr.errors import ConfigError
from sharding.options import ShardOptions

if TYPE_CHECKING:
    from horovod_ocr.launch.hosts.hosts_file import Host

JsonLines = Annotated[bool, typer.Option("--json", help="JSON lines on standard output, for machines.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")]
ShardsFolder = Annotated[str | None, typer.Option(metavar="FOLDER", help="Folder of the shards.  [default: shards]")]
TrainedShards = Annotated[
    str | None, typer.Option(metavar="FOLDER|URL", help="Where the shards are, as in train.  [default: shards]")
]
RunsFolder = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of the runs.  [default: runs]")]
TrainedRun = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of a run; its best checkpoint is used.  [default: the newest]"),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="auto|cpu|cuda", help="auto: a GPU for each process, or the CPU for all.  [default: auto]"),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="auto|horovod|torch|data-parallel", help="What moves bytes between ranks, as in train.  [default: auto]"
    ),
]
Hosts = Annotated[
    str | None,
    typer.Option(
        "-H",
        "--hosts",
        metavar="FILE|HOSTS",
        help="hosts.txt, or node1:1,node2:4; two ranks here: localhost:2.  [default: hosts.txt, or this machine]",
    ),
]
NetworkInterfaces = Annotated[str | None, typer.Option(metavar="NAMES", help="As in horovodrun: eth0,eth1.")]
ExportGiven = Annotated[
    Path | None,
    typer.Argument(metavar="[MODEL]", help="Folder or zip of horovod-ocr export.  [default: that of the newest run]"),
]
PRECISIONS = ("auto", "fp32", "int8")
Precision = Annotated[
    str, typer.Option(metavar="|".join(PRECISIONS), help="Which model of an export; auto: int8 if it has one.")
]
HOSTS_FILE = Path("hosts.txt")
VALUES: dict[Any, str] = {int: "N", float: "NUMBER", str: "TEXT"}  # as help calls them


def takes_settings(config: type, *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each of these settings of a config class, made from the setting's annotation, its
    docstring and its default. The command gets those that were typed as `given`: name -> value, as `overlay` takes
    them. Its own options follow."""
    settings = settings_of(config)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in inspect.signature(command).parameters.values() if each.name != "given"]
        made = [option_of(settings[name], settings[name].of(config())) for name in names]

        @wraps(command)
        def run(**values: Any) -> None:
            typed = {name: values.pop(name) for name in names}
            command(given={name: value for name, value in typed.items() if value is not None}, **values)

        run.__signature__ = inspect.Signature([*made, *(each.replace(kind=each.KEYWORD_ONLY) for each in own)])  # type: ignore[attr-defined]  # typer reads it
        run.__annotations__ = {each.name: each.annotation for each in [*made, *own]}
        return run

    return decorate


def option_of(setting: Setting, default: object) -> inspect.Parameter:
    """A setting as an option. None: not typed."""
    kind = setting.types[0]
    metavar = next((note for note in setting.notes if isinstance(note, str)), None)
    typed: Any = kind
    if get_origin(kind) is Literal:
        typed, metavar = str, metavar or "|".join(get_args(kind))
    elif get_origin(kind) is tuple:
        typed = list[str] if Ellipsis in get_args(kind) else str
        metavar = metavar or "FOLDER"
    elif kind is Path:
        typed, metavar = str, metavar or "FOLDER"
    elif kind is not bool:
        metavar = metavar or VALUES[kind]
    option = f"--{setting.name.replace('_', '-')}"
    flags = [f"{option}/--no-{option[2:]}"] if kind is bool else [option]
    shown = default_shown(default)
    text = setting.help.replace(" [default:", "  [default:") + (f"  [default: {shown}]" if shown else "")
    info = typer.Option(*flags, metavar=metavar, help=text)
    annotation = Annotated[typed | None, info]
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def default_shown(default: object) -> str:
    """As help prints it; empty for what help need not say."""
    if default is None or isinstance(default, bool):
        return ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return f"{default:,}" if isinstance(default, int) else str(default)


def hosts_given(text: str | None, slots: int = 1) -> "tuple[Host, ...]":
    """The hosts of a file or of `node1:1,node2:4`; by default of hosts.txt in the working folder, or this machine with
    this many slots. ConfigError as there."""
    import os

    from horovod_ocr.launch.hosts.hosts_file import Host, parse_hosts, read_hosts

    if text is None and not os.path.lexists(HOSTS_FILE):  # a link to nowhere is an error, and not this machine alone
        return (Host("localhost", slots=slots),)
    # a list may be longer than a file's name: for that os.path.isfile returns False, Path.is_file raises
    if text is None or os.path.isfile(text) or not set(",:@") & set(text):
        return read_hosts(Path(text or HOSTS_FILE))
    return parse_hosts(text.replace(",", "\n"), "-H")


def interfaces_option(given: str | None) -> list[str]:
    """For horovodrun."""
    from horovod_ocr.launch.hosts.horovodrun import INTERFACES

    return [] if given is None else [INTERFACES, given]


def folder_of_runs(given: Path | None) -> Path:
    from horovod_ocr.config.sources import train_table
    from horovod_ocr.config.train import TrainConfig

    return given or Path(train_table().get("runs", TrainConfig.runs))


def export_given(path: Path | None) -> Path:
    """An export, by default that of the newest run. ExportError if it has none."""
    from horovod_ocr.recognizer.find import require_export

    return path or require_export(folder_of_runs(None), None)


def check_choice(option: str, given: str, choices: tuple[str, ...]) -> None:
    """ConfigError for a word that an option does not take."""
    if given not in choices:
        raise ConfigError(f"{option} is {', '.join(choices[:-1])} or {choices[-1]}, not {given!r}")


def device_given(option: str | None) -> str:
    from horovod_ocr.config.sources import train_table
    from horovod_ocr.config.train import RanksConfig

    return train_table().get("device", RanksConfig.device) if option is None else option


def engine_given(option: str | None) -> str:
    """Each process needs it before it knows the others."""
    from horovod_ocr.config.sources import train_table
    from horovod_ocr.config.train import RanksConfig

    return train_table().get("engine", RanksConfig.engine) if option is None else option


def folder_of_shards(given: str | None) -> Path:
    from horovod_ocr.config.shard import shard_table

    folder = given or shard_table().get("out") or str(ShardOptions.out)
    check_folder(folder)
    return Path(folder)


def check_folder(location: str) -> None:
    """ConfigError for a URL or a command, which only those who read a set understand."""
    from horovod_ocr.data.store import Remote, is_remote

    if is_remote(location):
        raise ConfigError(
            f"{Remote(location).where('')} is not a folder; run this where the shards are, and name theirs"
        )
