"""What a checkpoint holds, and whether a payload is one."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError, OcrError
from horovod_ocr.tasks.build import task_from_dict

FORMAT = "horovod-ocr checkpoint"
VERSION = 3  # 2: labels are turned as UAX 9 says; 3: buckets, in the geometry
FIELDS = {
    "step": int,
    "epoch": float,
    "best": float,
    "model": dict,
    "optimizer": dict,
    "rng": list,
    "config": dict,
    "task": dict,
    "model_name": str,
    "model_options": dict,
    "geometry": dict,
    "plan": dict,
    "versions": dict,
}
PLAIN_FIELDS = ("config", "task", "model_options", "geometry", "plan", "versions")
MOST_VALUES, MOST_LEVELS = 1_000_000, 20


class UnreadableError(CheckpointError):
    """A checkpoint that may be whole, but cannot be read now, or not by this version."""


def check_payload(path: Path, payload: dict[str, Any]) -> None:
    """Raises CheckpointError that names the first field that is missing, of another type, or not valid in itself;
    UnreadableError for another version."""
    version = payload.get("version")
    if type(version) is not int or abs(version) > MOST_VALUES:
        raise CheckpointError(f"{path}: damaged: its field version is a {type(version).__name__}")
    if version != VERSION:
        advice = "update horovod-ocr" if version > VERSION else "train anew with another --run"
        raise UnreadableError(f"{path}: checkpoint version {version}, this program reads {VERSION}; {advice}")
    for name, kind in FIELDS.items():
        if name not in payload:
            raise CheckpointError(f"{path}: damaged: it has no field {name}")
        value = payload[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise CheckpointError(f"{path}: damaged: its field {name} is a {type(value).__name__}, not {kind.__name__}")
    for name, is_valid in VALID.items():
        if name not in payload:  # what only some exchanges keep
            continue
        try:
            valid = is_valid(payload[name])
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OcrError):
            valid = False
        if not valid:
            raise CheckpointError(f"{path}: damaged: its field {name} does not hold what it should")


def is_plain(value: object) -> bool:
    """Whether a value is numbers and texts in lists and dictionaries, and not more of them than a checkpoint has.

    A file of a few bytes can hold lists that hold each other many times over.
    """
    level: list[Any] = [value]
    seen = 0
    for _ in range(MOST_LEVELS):
        parts = [[*each.keys(), *each.values()] if isinstance(each, dict) else each for each in level]
        level = []
        for part in parts:
            if isinstance(part, list | tuple):
                level += part
                if seen + len(level) > MOST_VALUES:
                    return False
            elif not isinstance(part, str | int | float | None):
                return False
        seen += len(level)
        if not level:
            return True
    return False


def is_dense(value: object) -> bool:
    """Whether each element of a tensor has memory of its own. A file of a few bytes can claim a tensor of any size."""
    return isinstance(value, Tensor) and value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def is_state_dict(value: object) -> bool:
    """Whether it is tensors by name."""
    return isinstance(value, dict) and all(isinstance(name, str) and is_dense(each) for name, each in value.items())


def is_optimizer(state: dict[str, Any]) -> bool:
    """Whether it may be a state_dict of a torch optimizer."""
    groups, slots = state["param_groups"], state["state"]
    values = [value for slot in slots.values() for value in slot.values()]
    return (
        is_plain(groups)
        and all(isinstance(group["params"], list) for group in groups)
        and all(is_dense(value) or isinstance(value, int | float | None) for value in values)
    )


def is_kept(kept: dict[str, Any]) -> bool:
    """Whether it is what ranks kept for themselves: tensors, numbers and texts in lists and dictionaries."""
    level: list[Any] = [kept]
    for _ in range(MOST_LEVELS):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        parts = [part for each in inside for part in each]
        level = [part for part in parts if isinstance(part, dict | list | tuple)]
        others = (part for part in parts if not isinstance(part, dict | list | tuple))
        if len(parts) > MOST_VALUES or not all(isinstance(x, str | int | float | None) or is_dense(x) for x in others):
            return False
        if not level:
            return isinstance(kept["name"], str) and all(
                isinstance(of_rank, dict) for of_rank in kept["ranks"] or [None]
            )
    return False


def is_plan(plan: dict[str, Any]) -> bool:
    """Whether it is numbers and a digest, as of `training.identity.identity_of`."""
    return bool(plan) and all(isinstance(name, str) and isinstance(value, str | int) for name, value in plan.items())


VALID: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(PLAIN_FIELDS, is_plain),
    "step": lambda step: 0 <= step < 1 << 53,
    "epoch": math.isfinite,
    "best": lambda best: not math.isnan(best),  # infinite: nothing was validated yet
    "model": is_state_dict,
    "optimizer": is_optimizer,
    "rng": lambda states: all(is_dense(each) and each.dtype == torch.uint8 and each.dim() == 1 for each in states),
    "plan": lambda plan: is_plain(plan) and is_plan(plan),
    "geometry": lambda values: is_plain(values) and bool(Geometry.from_dict(values)),
    "task": lambda values: is_plain(values) and bool(task_from_dict(values)),
    "exchange": is_kept,
}
