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


def check_resumable(
    payload: dict[str, Any], mine: dict[str, Any], run: str, shards: str, steps: int, kept: str
) -> None:
    """CheckpointError unless a run can be resumed exactly where it was, up to `steps`.

    mine: identity_of this job. kept: what the task must keep, in words.
    """
    if payload["task"] != mine["task"]:
        raise CheckpointError(
            f"{run} was trained with another {kept} than {shards} has; give its own shards with "
            "--shards, or train anew with another --run"
        )
    before, now = (settings_of_identity(each) for each in (payload, mine))
    if before.pop("index_digest") != now.pop("index_digest"):
        raise CheckpointError(
            f"{run} was trained on another shard set than {shards} is now; give its own with --shards, or train anew "
            "with another --run"
        )
    if other := [f"{name} {before[name]}, not {now.get(name)}" for name in before if before[name] != now.get(name)]:
        raise CheckpointError(
            f"{run} was trained with {', '.join(other)}; leave out the --recipe or the options that ask for that, or "
            "train anew with another --run"
        )
    if payload["step"] > steps:
        raise CheckpointError(f"{run} has taken {payload['step']} steps already; give --steps above that")


def settings_of_identity(identity: dict[str, Any]) -> dict[str, Any]:
    """By the names that people give to them."""
    geometry = Geometry.from_dict(identity["geometry"])
    pixels = {"pixels": "grey" if geometry.channels == 1 else "rgb"} if geometry.is_photo else {}
    return {
        **identity["plan"],
        "model": identity["model_name"],
        "model_options": identity["model_options"],
        "height": geometry.height,
        **pixels,
        "bucket_edges": geometry.bucket_edges,
    }
