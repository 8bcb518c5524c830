"""One side of benchmarks/shard.py in a process of its own: its CPU, its wall clock, its opens, as one line of JSON.

    python benchmarks/sides/one_shard_run.py '{"side": "ShardWriter", "src": "raw", "out": "out", "warm_up": true}'

With warm_up the side runs twice, and only the second run is measured: no import, no first call, no cold memory. Every
side reads the label file and each image of `src`, and writes into `out`, a new folder.
"""

import json
import os
import resource
import shutil
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

SAMPLES_PER_SHARD = 10_000  # as in large sets
Run = Callable[[Path, Path], int]  # (src, out) -> samples


def main() -> None:
    task = json.loads(sys.argv[1])
    src, out = Path(task["src"]), Path(task["out"])
    run = build_side(task)
    if task.get("warm_up"):
        run(src, out)
        shutil.rmtree(out, ignore_errors=True)
    opens = count_opens(src) if task.get("count_opens") else Counter()
    cpu_s, wall_s = cpu_seconds(), time.perf_counter()
    samples = run(src, out)
    figures = {"samples": samples, "cpu_s": cpu_seconds() - cpu_s, "wall_s": time.perf_counter() - wall_s}
    if task.get("count_opens"):
        figures |= {"images_opened": len(opens), "most_opens_of_an_image": max(opens.values(), default=0)}
    print(json.dumps(figures))


def build_side(task: dict) -> Run:
    side, *words = task["side"].split()
    if side == "ShardWriter":
        return write_with_webdataset
    if side == "MDSWriter":
        return build_mds_side(Path(task["streaming"]))
    if side == "look":
        return build_look(words[0], Path(task["src"]))
    if side == "audit":
        return audit
    return build_shard_side(words[0], task)


def cpu_seconds() -> float:
    """User and system time of this process, its threads, and its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def count_opens(src: Path) -> Counter:
    """How often this process opens each image under src from now on, by any call of Python; filled while it runs."""
    images = {name for _, _, names in os.walk(src) for name in names if not name.endswith((".tsv", ".json"))}
    opens: Counter[str] = Counter()

    def note(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            name = os.path.basename(os.fsdecode(arguments[0]))
            if name in images:
                opens[name] += 1

    sys.addaudithook(note)
    return opens


def images_and_labels(src: Path) -> Iterator[tuple[bytes, str]]:
    """What both peers write: the label file in its order, each image read once."""
    with (src / "labels.tsv").open(encoding="utf-8") as lines:
        next(lines)  # path, label, subset
        for line in lines:
            name, label, _ = line.split("\t")
            with open(f"{src}/{name}", "rb") as image:
                yield image.read(), label


def write_with_webdataset(src: Path, out: Path) -> int:
    """ShardWriter as its documentation uses it."""
    import webdataset

    out.mkdir()
    written = 0
    with webdataset.ShardWriter(str(out / "train-%06d.tar"), maxcount=SAMPLES_PER_SHARD, verbose=0) as sink:
        for image, label in images_and_labels(src):
            sink.write({"__key__": f"{written:09d}", "png": image, "txt": label})
            written += 1
    return written


def build_mds_side(streaming: Path) -> Run:
    """mosaicml-streaming's MDSWriter with its defaults: no compression, no hashes, shards of 64 MiB.

    streaming: the folder that it was installed into, without the dependencies of its other packages. `import streaming`
    imports transformers and torchvision, which the writer does not need. So both packages above the writer are entered
    here by their folders, without the imports of their __init__.
    """
    sys.path.append(str(streaming))
    for name in ("streaming", "streaming.base"):
        package = types.ModuleType(name)
        package.__path__ = [str(streaming / name.replace(".", "/"))]
        sys.modules[name] = package
    from streaming.base.format.mds import MDSWriter

    def write(src: Path, out: Path) -> int:
        with MDSWriter(columns={"image": "bytes", "label": "str"}, out=str(out)) as sink:
            for image, label in images_and_labels(src):
                sink.write({"image": image, "label": label})
        return sum(shard["samples"] for shard in json.loads((out / "index.json").read_bytes())["shards"])

    return write


def build_shard_side(check: str, task: dict) -> Run:
    """This project's build, complete: listing, checks, splits, order, shards, .idx, index.json."""
    from sharding.build import build_shards
    from sharding.options import ShardOptions

    def build(src: Path, out: Path) -> int:
        options = ShardOptions.of(
            src=src,
            out=out,
            profile="urdu",
            samples_per_shard=task.get("samples_per_shard", SAMPLES_PER_SHARD),
            workers=task.get("workers", 1),
            check=check,
        )
        report = build_shards(options)
        if report.index.counts.rejects:
            sys.exit(f"{src}: {report.index.counts.rejects}; every image of a benchmark is a good one")
        return sum(report.index.counts.totals.values())

    return build


def audit(src: Path, out: Path) -> int:
    """This project's audit, complete."""
    from sharding.audit.audit import audit_source
    from sharding.options import ShardOptions

    return sum(audit_source(ShardOptions.of(src=src, out=out, profile="urdu", workers=1)).samples.values())


def build_look(check: str, src: Path) -> Run:
    """The check of each image alone, of bytes that are in memory already."""
    from sharding.images.limits import Limits
    from sharding.images.read import ImageRule, read_image

    limits, rule = Limits(), ImageRule(check)
    contents = [image for image, _ in images_and_labels(src)]

    def look(_src: Path, _out: Path) -> int:
        for content in contents:
            read_image(content, limits, rule)
        return len(contents)

    return look


if __name__ == "__main__":
    main()
