"""What a run must keep so that it can be resumed exactly where it was."""

from typing import Any

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError


def identity_of(config: TrainConfig, task: dict[str, Any], geometry: Geometry, index_digest: str) -> dict[str, Any]:
    """The model, and what decides the samples that the next steps hold: part of every checkpoint."""
    plan = config.plan
    return {
        "task": task,
        "model_name": config.network.model,
        "model_options": config.network.model_options,
        "geometry": geometry.to_dict(),
        "plan": {
            "index_digest": index_digest,
            "seed": config.seed,
            "lanes": plan.lanes,
            "global_batch": plan.global_batch,
            "window": plan.window,
        },
    }


def geometry_of_run(identity: dict[str, Any]) -> dict[str, Any]:
    """The sizes of images, by name."""
    return Geometry.from_dict(identity["geometry"]).to_dict()


def check_resumable(
    payload: dict[str, Any], mine: dict[str, Any], run: str, shards: str, steps: int, kept: str, recipe: str | None
) -> None:
    """CheckpointError unless a run can be resumed exactly where it was, up to `steps`.

    mine: identity_of this job. kept: what the task must keep, in words. recipe: of this job.
    """
    own = payload["config"].get("recipe")
    cause = f" (recipe {recipe}; its own is {own or 'none'})" if recipe != own else ""
    if payload["task"] != mine["task"]:
        raise CheckpointError(
            f"{run} was trained with another {kept} than {shards} has; give its own shards with "
            "--shards, or train anew with another --run"
        )
    for name, before in payload["plan"].items():
        if (now := mine["plan"].get(name)) != before:
            of_recipe = "" if name == "index_digest" else cause
            raise CheckpointError(
                f"{run} was trained with {name} {before}, not {now}{of_recipe}: the samples left in the epoch "
                "would not be the same; give the old value, or train anew with another --run"
            )
    theirs, ours = (
        {"model": each["model_name"], "model_options": each["model_options"], **geometry_of_run(each)}
        for each in (payload, mine)
    )
    if other := [f"{name} {theirs[name]}, not {ours[name]}" for name in theirs if theirs[name] != ours[name]]:
        raise CheckpointError(
            f"{run} was trained with {', '.join(other)}{cause}; give its own values, or train anew with another --run"
        )
    if payload["step"] > steps:
        raise CheckpointError(f"{run} has taken {payload['step']} steps already; give --steps above that")
