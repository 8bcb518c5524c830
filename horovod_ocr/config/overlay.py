"""Settings laid over each other. A config is a frozen dataclass, and its fields say which settings there are.

A field whose type is a dataclass is a table of settings: `lr` of the table `optimizer` is known as `lr` and as
`optimizer.lr`, in a TOML file as a key or in a table [optimizer]. Names are unique over all tables of a config.

Types are checked by annotation: bool, int, float, str, Path, Literal[...], tuple[X, ...], dict, X | None, or another
dataclass. Ranges are beside them: Annotated[float, Gt(0)]; a text beside them is what a command line's help calls the
value: Annotated[int, "SAMPLES"]. For a setting that may be None, a person writes 0 or an empty text, since TOML has no
None.
"""

import ast
import difflib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from inspect import getsource
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from horovod_ocr.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
RANGES: dict[type, tuple[str, str, Callable[[Any, Any], bool]]] = {
    Gt: ("above", "gt", lambda value, end: value > end),
    Ge: ("at least", "ge", lambda value, end: value >= end),
    Lt: ("below", "lt", lambda value, end: value < end),
    Le: ("at most", "le", lambda value, end: value <= end),
}

# one value of this type, and several, in a sentence
KINDS: dict[type, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a folder", "folders"),
}


@dataclass(frozen=True)
class Setting:
    """One setting of a config."""

    name: str
    """Unique in its config."""
    table: str | None
    """The field of the config that holds it; None: it is a field of the config itself."""
    kind: Any
    """Its annotation."""
    help: str
    """The docstring below its field."""

    @property
    def types(self) -> tuple[Any, ...]:
        """What a value may be, without None: mostly one type."""
        kind = get_args(self.kind)[0] if get_origin(self.kind) is Annotated else self.kind
        kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
        return tuple(each for each in kinds if each is not NoneType)

    @property
    def notes(self) -> tuple[Any, ...]:
        """What is beside its type."""
        return get_args(self.kind)[1:] if get_origin(self.kind) is Annotated else ()

    @property
    def may_be_none(self) -> bool:
        kind = get_args(self.kind)[0] if get_origin(self.kind) is Annotated else self.kind
        return NoneType in get_args(kind)

    def of(self, config: object) -> Any:
        return getattr(getattr(config, self.table) if self.table else config, self.name)


@cache
def settings_of(kind: type) -> dict[str, Setting]:
    """Every setting of a config class by name, in the order of its fields; its tables are opened."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, Setting] = {}
    for entry in fields(kind):
        if is_table(kind, entry.name):
            table = hints[entry.name]
            inner, help_of = get_type_hints(table, include_extras=True), field_docs(table)
            found |= {n: Setting(n, entry.name, inner[n], help_of.get(n, "")) for n in names_of(table)}
        else:
            help_of = field_docs(kind)
            found[entry.name] = Setting(entry.name, None, hints[entry.name], help_of.get(entry.name, ""))
    return found


def names_of(kind: type) -> list[str]:
    return [entry.name for entry in fields(kind)]


@cache
def field_docs(kind: type) -> dict[str, str]:
    """Field -> the docstring below it, on one line; also of inherited fields. Python itself keeps none of them."""
    inherited = {name: text for base in kind.__bases__ if is_dataclass(base) for name, text in field_docs(base).items()}
    (body,) = [node.body for node in ast.walk(ast.parse(dedent(getsource(kind)))) if isinstance(node, ast.ClassDef)]
    return inherited | {
        node.target.id: " ".join(str(below.value.value).split())
        for node, below in pairwise(body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def is_table(kind: type, name: str) -> bool:
    return is_dataclass(get_type_hints(kind).get(name))


def flatten(kind: type, values: dict[str, Any], source: str) -> dict[str, Any]:
    """Settings by their own names, with tables opened. ConfigError for an unknown name, and for one given twice."""
    known = settings_of(kind)
    tables = [entry.name for entry in fields(kind) if is_table(kind, entry.name)]
    flat: dict[str, Any] = {}
    for key, value in values.items():
        table = key if key in tables and key not in known else None
        if table and not isinstance(value, dict):
            raise ConfigError(f"{source}: {key} is a table of settings, not {value!r}")
        inside = {name for name, setting in known.items() if setting.table == table} if table else known.keys()
        for name, given in (value if table else {key: value}).items():
            if name not in inside:
                where = f" in {table}" if table else ""
                hint = belongs(known[name]) if name in known else nearest(name, [*inside, *([] if table else tables)])
                raise ConfigError(f"{source}: no setting {name!r}{where}; {hint}")
            if name in flat:
                raise ConfigError(f"{source}: {name} is given twice, alone and as {known[name].table}.{name}")
            flat[name] = given
    return flat


def belongs(setting: Setting) -> str:
    return f"it is in {setting.table}" if setting.table else "it is in no table"


def nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.65)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def overlay(config: Config, values: dict[str, Any], source: str, prefix: str = "") -> Config:
    """A config with some settings replaced. values: by name, or in tables. prefix: of the names in sentences.

    Raises ConfigError, which names `source`, for an unknown name, a value of another type or out of its range.
    """
    known = settings_of(type(config))
    changes: dict[str | None, dict[str, Any]] = {}
    for name, value in flatten(type(config), values, source).items():
        setting = known[name]
        changes.setdefault(setting.table, {})[name] = checked(value, setting, setting.of(config), source, prefix)
    tables = {table: replace(getattr(config, table), **inner) for table, inner in changes.items() if table}
    return replace(config, **tables, **changes.get(None, {}))


def checked_values(kind: type[Config], values: dict[str, Any], source: str) -> dict[str, Any]:
    """Settings by their own names, with tables opened, each of its setting's type. ConfigError as `overlay`."""
    config, known = overlay(kind(), values, source), settings_of(kind)
    return {
        name: value if isinstance(value, dict) else known[name].of(config)
        for name, value in flatten(kind, values, source).items()
    }


def checked(value: Any, setting: Setting, current: Any, source: str, prefix: str) -> Any:
    """The value as the setting's type. current: what it is laid over. ConfigError as `overlay`."""
    where, kind = f"{source}: {prefix}{setting.name}", setting.types[0]
    if setting.may_be_none and (value is None or (value in (0, "") and type(value) is not bool)):
        return None
    if is_dataclass(kind) or get_origin(kind) is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is a table of settings, not {value!r}")
        return overlay(current, value, source, f"{setting.name}.") if is_dataclass(kind) else current | value
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            *others, last = get_args(kind)
            raise ConfigError(f"{where} is {', '.join(others)} or {last}, not {value!r}")
        return value
    if get_origin(kind) is tuple:
        return several(value, get_args(kind), current, where)
    value = converted(value, kind)
    if type(value) is not kind and not (kind is Path and isinstance(value, Path)):
        raise ConfigError(f"{where} must be {KINDS[kind][0]}, not {value!r}")
    check_range(value, setting, where)
    return value


def converted(value: object, kind: type) -> object:
    if kind is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return Path(value) if kind is Path and isinstance(value, str) else value


def several(value: Any, kinds: tuple[Any, ...], current: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    """The values of a list, or one alone, as a tuple; numbers also as "0.8,0.1,0.1". kinds: X, or X, X, X for as many.

    ConfigError for another number of values and for values of another type.
    """
    kind, many = kinds[0], Ellipsis in kinds
    if isinstance(value, str) and kind is float:
        with suppress(ValueError):
            value = [float(part) for part in value.split(",")]
    given = value if isinstance(value, list | tuple) else [value]
    values: tuple[Any, ...] = tuple(converted(each, kind) for each in given)
    if not values or not all(isinstance(each, kind) for each in values):
        raise ConfigError(f"{where} must be {KINDS[kind][1]}, not {value!r}")
    if not many and len(values) != len(kinds) or kind is float and not all(math.isfinite(each) for each in values):
        raise ConfigError(f"{where} are {len(kinds)} numbers, such as {written(current)}, not {written(values)}")
    return values


def written(values: tuple[Any, ...]) -> str:
    return ",".join(map(str, values))


def check_range(value: Any, setting: Setting, where: str) -> None:
    ends = [(*RANGES[type(note)], note) for note in setting.notes if type(note) in RANGES]
    if (
        isinstance(value, float)
        and not math.isfinite(value)
        or not all(holds(value, getattr(note, name)) for _, name, holds, note in ends)
    ):
        wanted = " and ".join(f"{words} {getattr(note, name)}" for words, name, _, note in ends) or "finite"
        raise ConfigError(f"{where} must be {wanted}, not {value}")
