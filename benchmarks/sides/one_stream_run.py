"""Sides of benchmarks/stream.py in a process of their own; for each, one line of JSON.

    python benchmarks/sides/one_stream_run.py '{"sides": ["stock png"], "sets": "sets", ...}'

A side that reads goes through its set twice, and only the second time is measured: without imports, first calls and a
cold page cache. `resume` is measured from the start.
"""

import hashlib
import json
import resource
import sys
from pathlib import Path


def main() -> None:
    task = json.loads(sys.argv[1])
    for side in task["sides"]:
        print(json.dumps(measure(side, task)))


def measure(side: str, task: dict) -> dict:
    """The figures of one side. task: sets, sizes (of stream.py), streaming, parseq_width_px."""
    shards, sizes = Path(task["sets"]) / "png", task["sizes"]
    if side == "resume":
        from sides.simulated import resume

        return resume(sizes["simulated_shards"])
    if side == "shuffle":
        from sides.shuffle_quality import look_at_shuffles
        from sides.simulated import rank_correlation

        return {
            "orders": look_at_shuffles(shards, sizes["batch"]),
            "rank_correlation": rank_correlation(sizes["simulated_shards"]),
        }
    if side == "widths":
        from sides.widths import compare_widths

        return compare_widths(shards, sizes["step_batch"], sizes["step_rounds"])
    return read_twice(side, task)


def read_twice(side: str, task: dict) -> dict:
    """samples and CPU seconds of one epoch; labels: a digest of all that came, in any order."""
    import torch
    from sides.word_readers import HEIGHT_PX, build_side

    torch.set_num_threads(1)
    epoch = build_side(side, task)
    seen: list[str] = []
    for images, labels in epoch():
        if len(images) != len(labels) or images.shape[-2] != HEIGHT_PX:
            sys.exit(f"{side}: a batch of {len(labels)} labels has images {tuple(images.shape)}")
        seen.extend(labels)
    started, samples, pixels = cpu_seconds(), 0, 0
    for images, labels in epoch():
        samples += len(labels)
        pixels += images.numel()
    cpu_s = cpu_seconds() - started
    digest = hashlib.sha256("\n".join(sorted(seen)).encode()).hexdigest()
    return {"cpu_s": cpu_s, "samples": samples, "pixels": pixels, "labels": digest}


def cpu_seconds() -> float:
    """User and system time of this process and its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
