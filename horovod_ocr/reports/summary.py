"""What the commands that make, verify and repair a shard set print at their end."""

import shlex
from itertools import zip_longest
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from horovod_ocr.console import size_text
from horovod_ocr.data.splits import divide_command
from horovod_ocr.reports.letter_changes import fold_lines, refusal_lines
from horovod_ocr.reports.letter_names import visible
from horovod_ocr.reports.page import TableOf
from horovod_ocr.reports.terminal import draw_table
from horovod_ocr.reports.wording import (
    classes_warnings,
    counted,
    empty_splits,
    groups_warning,
    splits_source,
    subsets_warning,
)
from sharding.building.report import ShardReport
from sharding.counts import by_count
from sharding.packing.left_out import DUPLICATES_NAME, REJECTS_NAME
from sharding.reasons import REASONS
from sharding.verify.verify import VerifyReport
from sharding.wording import one_line, some_names

SHOWN_NAMES = 100
SHOWN_SUBSETS = 20
MANY_REJECTS = 0.01  # of what was read; more are a warning
CONFLICT, DAMAGED_TAR = "conflicting labels", "damaged tar"


def draw_build(report: ShardReport, seconds: float | None, sheet: Path | None) -> Group:
    """What `horovod-ocr shard` prints.

    seconds: that the build took; None if an earlier run has done a part of it. sheet: the contact sheet, if any.
    """
    index, counts, options = report.index, report.index.counts, report.index.options
    images = report.entries
    is_words = index.kind == "words"  # classes have no profile, and one bucket
    profile = f", profile {index.profile.name} ({index.profile.direction})" if is_words else ""
    parts: list[RenderableType | str] = [f"{index.root}: {index.kind}{profile}, layout {options['layout']}"]
    parts += [f"the profile: {options['profile_why']}"] if is_words else []
    if report.already_complete:
        parts.append("complete already: made from this source with these options")
    total = sum(counts.totals.values())
    rows = [(split, count, f"{count / total:.1%}") for split, count in counts.totals.items()]
    parts.append(draw_table(TableOf(("split", "samples", "share"), rows)))
    parts += draw_splits(report)
    edges = ", ".join(f"{edge:.2f}" for edge in index.bucket_edges)
    buckets = f"; buckets up to width / height {edges}" if is_words else ""
    parts.append(f"{counted(len(index.shards), 'shard')}, {size_text(report.bytes)}{buckets}")
    letters = [visible(letter) for letter in index.alphabet]
    parts += [f"{counted(len(letters), 'letter')}: {some_names(letters, SHOWN_NAMES, ' ')}"] if letters else []
    parts += draw_classes(report)
    parts += draw_folds(report)
    parts += draw_subsets(report)
    parts += draw_rejects(report)
    parts += [f"note: {note}" for note in report.notes]
    if seconds is not None and not report.already_complete:
        speed = f"{images / seconds:,.0f} images/s, {size_text(report.read_bytes / seconds)}/s"
        parts.append(f"{images:,} images in {seconds:,.1f} s: {speed}")
    parts += [f"contact sheet: {sheet}"] if sheet else []
    parts += draw_account(report)
    return group_of(parts)


def draw_account(report: ShardReport) -> list[RenderableType | str]:
    """How many entries were packed, left out or rejected, and some labels to compare with their images."""
    index, counts = report.index, report.index.counts
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in by_count(counts.rejects).items())
    left_out = f", {counted(copies, 'copy', 'copies')} left out" if (copies := counts.duplicates["left out"]) else ""
    packed, refused = sum(counts.totals.values()), sum(counts.rejects.values())
    lines = [f"{report.entries:,} read: {packed:,} packed{left_out}, {refused:,} rejected"]
    lines[0] += f" ({reasons})" if reasons else ""
    if refused > report.entries * MANY_REJECTS:
        share = f"{refused / report.entries:.1%}"
        lines.append(f"WARNING: {share} is rejected; look into {index.root / REJECTS_NAME} before you train")
    return [
        *lines,
        "do these labels fit their images?",
        *(f"  {one_line(path)}  {label}" for path, label in report.examples),
    ]


def draw_folds(report: ShardReport) -> list[str]:
    """The letters of labels that the profile has changed or refused."""
    index, counts = report.index, report.index.counts
    parts = []
    if counts.folded:
        parts += [f"{counted(sum(counts.folded.values()), 'letter')} of labels changed by the profile:"]
        parts += [f"  {line}" for line in fold_lines(counts.folded, index.profile.name)]
    if counts.refused_letters:
        parts += [f"{counted(sum(counts.refused_letters.values()), 'letter')} refused:"]
        parts += [f"  {line}" for line in refusal_lines(counts.refused_letters)]
    return parts


def draw_splits(report: ShardReport) -> list[str]:
    """Where the splits come from, and a warning if val or test is empty, or if the shares are not as asked."""
    totals, options, asked = report.index.counts.totals, report.index.options, report.index.options["asked"]
    parts = [f"splits: {splits_source(options['split'], *report.given_splits, asked['group_from'])}"]
    empty = empty_splits(totals, asked["fractions"], report.given_splits[0])
    if unseen := [split for split in empty if split != "train"]:
        verb = "is" if len(unseen) == 1 else "are"
        parts.append(f"warning: {' and '.join(unseen)} {verb} empty; {advice_on_empty_split(report)}")
    if warning := groups_warning(options["split"], totals, asked["fractions"]):
        parts.append(f"warning: {warning}")
    return parts


def advice_on_empty_split(report: ShardReport) -> str:
    """What to do about an empty split."""
    index = report.index
    if report.given_splits[0]:
        return f"give images of it, or divide those there are: {divide_command(index.kind)}"
    return "give more images, or other --fractions and another --out"


def draw_classes(report: ShardReport) -> list[str]:
    """The classes and how many samples each has, and warnings of those that a split lacks."""
    classes, samples = report.index.classes, report.index.counts.class_samples
    if not classes:
        return []
    in_all = [f" {sum(of_class):,}" for of_class in zip(*samples.values(), strict=True)]
    names = [f"{name}{count}" for name, count in zip_longest(classes, in_all, fillvalue="")]  # an older set: no counts
    return [
        f"{counted(len(classes), 'class', 'classes')}: {some_names(names, SHOWN_NAMES)}",
        *(f"warning: {warning}" for warning in classes_warnings(classes, samples)),
    ]


def draw_subsets(report: ShardReport) -> list[str]:
    """The names of the subsets, and a warning if they look like texts."""
    if not report.subsets:
        return []
    names = [f"{name or '(none)'} {count:,}" for name, count in by_count(report.subsets).items()]
    parts = [f"{counted(len(names), 'subset')}: {some_names(names, SHOWN_SUBSETS)}"]
    if warning := subsets_warning(len(names), report.entries):
        parts.append(f"warning: {warning}")
    return parts


def draw_rejects(report: ShardReport) -> list[RenderableType | str]:
    """Rejects by reason, and images that occur more than once."""
    index, counts = report.index, report.index.counts
    parts: list[RenderableType | str] = []
    if counts.rejects:
        rows = [(reason, count, REASONS.get(reason, "")) for reason, count in by_count(counts.rejects).items()]
        parts.append(draw_table(TableOf(("rejected", "samples", "why"), rows)))
        parts.append(f"{sum(counts.rejects.values()):,} rejected; each is named in {index.root / REJECTS_NAME}")
    same, across, left_out = (counts.duplicates[name] for name in ("same split", "across splits", "left out"))
    if same or across:
        named = f"each is named in {index.root / DUPLICATES_NAME}"
        hint = "" if left_out else "; --dedup leaves them out"
        parts.append(
            f"copies of an image: {same:,} in the same split, {across:,} across splits, {left_out:,} left out; "
            f"{named}{hint}"
        )
    if conflicts := counts.rejects.get(CONFLICT):
        parts.append(f"{conflicts:,} images occur more than once, with different labels; none of them was taken")
    if damaged := counts.rejects.get(DAMAGED_TAR):
        parts.append(
            f"WARNING: {counted(damaged, 'damaged tar')}: everything after the damage is lost, and nobody knows how "
            f"much; copy again (named in {index.root / REJECTS_NAME})"
        )
    return parts


def next_command(report: ShardReport) -> str:
    """The command after a build, ready to be pasted."""
    where = option_of(report.index.root)
    on_hosts = f"horovodrun -np 3 -H hosts.txt horovod-ocr train{where}"
    return on_hosts if Path("hosts.txt").exists() else f"horovod-ocr train{where}; on several hosts: {on_hosts}"


def option_of(root: Path) -> str:
    """The option that names the folder of the shards to the next command; empty for the default folder."""
    return "" if root == Path("shards") else f" --shards {shlex.quote(str(root))}"


def draw_proof(report: VerifyReport) -> Group:
    """What `horovod-ocr verify` prints."""
    speed = f"{report.bytes / report.seconds / 1e6:,.1f}"
    row = (report.samples, report.shards, size_text(report.bytes), f"{report.seconds:,.1f}", speed)
    parts: list[RenderableType | str] = [draw_table(TableOf(("samples", "shards", "size", "seconds", "MB/s"), [row]))]
    parts += [f"{name}: {'; '.join(sentences)}" for name, sentences in report.damaged.items()]
    parts += list(report.problems)
    if report.strays:
        parts.append(
            f"warning: readers ignore what the index does not name: {some_names(report.strays, SHOWN_NAMES, ' ')}"
        )
    images, labels = report.images_in_two_splits, report.labels_in_two_splits
    in_two = f"in more than one split: {counted(images, 'image')}, {counted(labels, 'label')}"
    parts += [in_two] if images or labels else []
    parts += ["index.json was restored from its copy in build/"] if report.restored_index else []
    parts += [f"made again: {some_names(report.repaired, SHOWN_NAMES, ' ')}"] if report.repaired else []
    parts += ["everything is as the index says"] if report.ok else []
    return group_of(parts)


def wrong_of(report: VerifyReport) -> str:
    """What is wrong with a set, in numbers, for the end of a sentence."""
    damaged = f"damaged: {len(report.damaged):,} of {report.shards:,} shards" if report.damaged else ""
    problems = f"wrong with the set: {len(report.problems):,}" if report.problems else ""
    return "; ".join(filter(None, (damaged, problems)))


def group_of(parts: list[RenderableType | str]) -> Group:
    """The parts below each other. Texts are drawn as they are: rich would take [brackets] for its markup."""
    return Group(*(Text(part) if isinstance(part, str) else part for part in parts))
