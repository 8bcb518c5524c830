"""One side of benchmarks/stream.py in a process of its own, as one line of JSON.

    python benchmarks/sides/one_stream_run.py '{"side": "stock png", "sets": "sets"}'

A side that reads goes through its set twice, and the second time alone is measured: no import, no first call, no cold
page cache. `resume` is measured from nothing.
"""

import hashlib
import json
import resource
import sys
from pathlib import Path


def main() -> None:
    task = json.loads(sys.argv[1])
    if task["side"] == "resume":
        from sides.simulated import resume

        figures = resume()
    elif task["side"] == "shuffle":
        from sides.shuffle_quality import look_at_shuffles
        from sides.simulated import rank_correlation

        figures = {"orders": look_at_shuffles(Path(task["sets"]) / "png"), "rank_correlation": rank_correlation()}
    elif task["side"] == "widths":
        from sides.widths import compare_widths

        figures = compare_widths(Path(task["sets"]) / "png")
    else:
        figures = read_twice(task)
    print(json.dumps(figures))


def read_twice(task: dict) -> dict:
    """samples and CPU seconds of one epoch; labels: a digest of all that came, in any order."""
    import torch
    from sides.word_readers import HEIGHT_PX, build_side

    torch.set_num_threads(1)
    epoch = build_side(task)
    seen: list[str] = []
    for images, labels in epoch():
        if len(images) != len(labels) or images.shape[-2] != HEIGHT_PX:
            sys.exit(f"{task['side']}: a batch of {len(labels)} labels has images {tuple(images.shape)}")
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
