"""While a build runs, the collector of cyclic garbage rests: so a build may leave none, whatever it meets."""

import gc
from pathlib import Path

import pytest

from sharding.build import ShardOptions, build_shards
from sharding.images.read import CHECKS
from sharding.system.workers import open_workers, resting_collector
from tests.unit.sharding.conftest import WORDS, image_bytes

SUFFIXES = ("png", "jpg", "webp", "bmp", "tif", "gif")


def write_troublesome(folder: Path, count: int) -> Path:
    """Images of every format: whole, cut, empty or missing; labels that fit, that are no words, and that are empty."""
    folder.mkdir()
    lines = []
    for number in range(count):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        content = image_bytes(number, mode=("L", "RGB", "P")[number % 3] if suffix != "jpg" else "L", suffix=suffix)
        name = f"{number}.{suffix}"
        if number % 7 != 3:
            (folder / name).write_bytes((content, content[: len(content) // 2], content, b"")[number % 4])
        lines.append(f"{name}\t{(WORDS[number % len(WORDS)], f'word{number}', '')[number % 5 % 3]}\n")
    (folder / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def cyclic_garbage_of(src: Path, out: Path, check: str) -> int:
    """Objects that only the collector frees."""
    gc.collect()
    with resting_collector():
        report = build_shards(ShardOptions.of(src=src, out=out, workers=1, check=check, profile="urdu"))
        assert len(report.index.counts.rejects) >= 4 and sum(report.index.counts.totals.values())
        return gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_a_build_leaves_no_cycle_for_an_entry_whatever_becomes_of_it(tmp_path, check):
    few, many = (write_troublesome(tmp_path / f"raw-{count}", count) for count in (30, 90))
    cyclic_garbage_of(few, tmp_path / "warm", check)
    left = [cyclic_garbage_of(src, tmp_path / src.name.replace("raw", "out"), check) for src in (few, many)]
    assert left[1] <= left[0] + 10, "it does not grow with the set"


def test_the_collector_works_again_afterwards_and_where_it_was_off_stays_off():
    with open_workers(1):
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with resting_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
