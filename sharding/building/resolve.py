"""What follows from the options of a build once its sources are known."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sharding.building.state import BuildState
from sharding.errors import ConfigError, SourceError
from sharding.format.frames import Frames
from sharding.format.script.guess import guess_direction_and_why, guess_profile
from sharding.format.script.letters import PROFILES
from sharding.format.script.profile import ScriptProfile, build_profile, check_direction
from sharding.format.script.profile_file import is_profile_file, read_profile
from sharding.images.limits import Limits
from sharding.images.read import CHECKS, FORMS, ImageRule
from sharding.layouts.entry import Source
from sharding.layouts.find import find_source
from sharding.layouts.find_label_files import lists_of_splits
from sharding.options import ShardOptions, check_ranges
from sharding.reading.catalogue import Catalogue
from sharding.reading.sample_reader import Rules
from sharding.reading.split import SplitLists, SplitRule, check_split_rule
from sharding.reasons import Rejected

_GUESSED_FROM = 2000  # labels


def find_sources(options: ShardOptions, before: BuildState | None = None) -> list[Source]:
    """The sources, in the order in which they were named. before: what an earlier run has found, which need not be
    searched for again. ConfigError if the options make no sense, SourceError if a source holds nothing that can be
    read."""
    _check_options(options)
    paths = options.source.src
    if options.source.images and len(paths) > 1:
        raise ConfigError("--images is for one source; make a set of each, and a set of their sets")
    if options.source.layout or options.source.label_from_name:
        before = None  # the options say it
    found_before = [_found_before(path, before, options.source.images) for path in paths]
    sources = [
        known or find_source(path, options.source.layout, options.source.label_from_name, options.source.images)
        for path, known in zip(paths, found_before, strict=True)
    ]
    takes_given_splits = keeps_given_splits(options) and options.splits.split_lists is None
    if takes_given_splits:
        were_taken = before and before.options.get("keep_given_splits") and not before.options["asked"]["split_lists"]
        _check_no_lists([source for source in sources if not were_taken or source not in found_before])
    if len({source.root.resolve() for source in sources}) < len(sources):
        raise ConfigError("the same folder is named twice as --src; name each once")
    if len({source.kind for source in sources}) > 1:
        kinds = ", ".join(f"{source.root} holds {source.kind}" for source in sources)
        raise ConfigError(f"words and classes do not go into one set ({kinds}); make a set of each")
    if takes_given_splits:
        for source in sources:
            if source.doubt:
                raise SourceError(source.doubt)
    return sources


def _check_no_lists(sources: list[Source]) -> None:
    """SourceError if a source holds lists of splits and no option says whether they count."""
    for source in sources:
        if source.layout != "shards" and (lists := lists_of_splits(source.root)):
            raise SourceError(
                f"{source.root} holds {', '.join(lists)}, which list paths and no texts: take them with --split-lists "
                f"{source.root}, or set them aside with --split label or --split file"
            )


def _found_before(path: Path, before: BuildState | None, images: Path | None) -> Source | None:
    """The source as an earlier run has found it, which saves a walk through folders of millions of files; None if it is
    another one now."""
    for known, marks in zip(before.sources, before.listing, strict=True) if before else ():
        if known["root"] == str(path.absolute()) and known["layout"] != "names":
            with suppress(SourceError):
                source = find_source(path, known["layout"], images=images)
                return source if source.is_as_listed(marks) else None
    return None


def _check_options(options: ShardOptions) -> None:
    if not options.source.src:
        raise ConfigError("no source is named; name the folder of your images: horovod-ocr shard --src FOLDER")
    check_ranges(options)
    if options.stored.check not in CHECKS:
        raise ConfigError(f"unknown check {options.stored.check!r}; there are: {', '.join(CHECKS)}")
    if options.stored.image not in FORMS:
        raise ConfigError(f"unknown image form {options.stored.image!r}; there are: {', '.join(FORMS)}")
    if options.stored.height is not None and options.stored.image == "keep":
        raise ConfigError("a height goes with --image png or --image jpeg, which re-encode")
    rules = (options.splits.split, options.splits.group_from, options.splits.split_lists)
    if sum(rule is not None for rule in rules) > 1:
        raise ConfigError("split, group_from and split_lists exclude each other; give one")
    _profile_asked_for(options)
    if options.labels.direction is not None:
        check_direction(options.labels.direction)
    if options.splits.split not in (None, "label", "file"):
        raise ConfigError(f"unknown split {options.splits.split!r}; there are: label, file")
    check_split_rule(_split_rule(options, classes=False))


def _split_rule(options: ShardOptions, classes: bool) -> SplitRule:
    by = options.splits.split or ("file" if classes else "label")
    if options.splits.group_from is not None:
        by = "group"
    if options.splits.split_lists is not None:
        by = "lists"
    return SplitRule(by, options.seed, options.splits.fractions, options.splits.group_from or "")


def keeps_given_splits(options: ShardOptions) -> bool:
    """If nothing else is asked for, a split that a source gives is taken."""
    return options.splits.split is None and options.splits.group_from is None


def split_lists_of(options: ShardOptions) -> SplitLists | None:
    return None if options.splits.split_lists is None else SplitLists(options.splits.split_lists)


def options_of_bytes(
    options: ShardOptions, sources: list[Source], profile: ScriptProfile, lists: SplitLists | None
) -> dict[str, Any]:
    """Everything that shapes the bytes, as build.json and the index hold it: what was asked for, and what was decided
    with it. A file that an option names may be gone or changed later, so its content counts, not its path."""
    asked = options.shaping
    if sources[0].kind == "classes":  # names of classes need no profile
        asked |= {"profile": None, "direction": None}
    elif options.labels.profile and is_profile_file(options.labels.profile):
        asked["profile"] = Path(options.labels.profile).name
    if lists:
        asked["split_lists"] = lists.digest
    return {
        "asked": asked,
        "layout": ", ".join(source.layout for source in sources),
        "profile": profile.name,
        "direction": profile.direction,
        "folds": dict(profile.folds),
        "profile_file": None if profile.name in PROFILES else profile.to_dict(),
        "split": _split_rule(options, sources[0].kind == "classes").by,
        "keep_given_splits": keeps_given_splits(options),
    }


def rules_of(sources: list[Source], catalogue: Catalogue, decided: dict[str, Any]) -> Rules:
    """What follows for each entry from the options as `options_of_bytes` wrote them."""
    asked = decided["asked"]
    return Rules(
        sources=tuple(sources),
        profile=_profile_in(decided),
        classes=catalogue.classes,
        limits=Limits(
            Frames(asked["model_height"], asked["frame_px"]),
            max_pixels=asked["max_pixels"],
            max_label=asked["max_label"],
        ),
        image=ImageRule(asked["check"], asked["image"], asked["height"] or 0),
        split=SplitRule(decided["split"], asked["seed"], tuple(asked["fractions"]), asked["group_from"] or ""),
    )


def _profile_in(decided: dict[str, Any]) -> ScriptProfile:
    if decided.get("profile_file"):
        return ScriptProfile.from_dict(decided["profile_file"])
    return build_profile(decided["profile"], direction=decided.get("direction"), **decided["folds"])


class ProfileChoice(NamedTuple):
    """A script profile, and why it is this one."""

    profile: ScriptProfile
    """Its direction is chosen as well."""
    why: str
    """Part of a sentence, such as "as asked for"."""


def choose_profile(options: ShardOptions, sources: list[Source], catalogue: Catalogue) -> ProfileChoice:
    """The profile and the direction that were asked for, else by the letters of some labels."""
    if sources[0].kind == "classes":
        return ProfileChoice(build_profile("plain"), "names of classes are not text in a script")
    profile, why = _profile_asked_for(options), "as asked for"
    if profile and profile.direction:
        return ProfileChoice(profile, why)
    labels = list(_some_labels(sources, catalogue))
    if profile is None:
        name, why = guess_profile(labels)
        profile = _with_direction(build_profile(name), options.labels.direction)
    if not profile.direction:
        direction, why_direction = guess_direction_and_why(labels)
        profile, why = replace(profile, direction=direction), why + why_direction
    return ProfileChoice(profile, why)


def profile_again(options: ShardOptions, sources: list[Source], before: dict[str, Any]) -> ScriptProfile:
    """The profile of an earlier run with these options (of `options_of_bytes`), but with what is asked for now."""
    earlier = _profile_in(before)
    if sources[0].kind == "classes":
        return build_profile("plain")
    asked = _profile_asked_for(options)
    if asked is None:
        return _with_direction(earlier, options.labels.direction or earlier.direction)
    return asked if asked.direction else replace(asked, direction=earlier.direction)


def _profile_asked_for(options: ShardOptions) -> ScriptProfile | None:
    """None if the labels decide; its direction is empty if they decide that."""
    if options.labels.profile is None:
        return None
    if is_profile_file(options.labels.profile):
        profile = read_profile(Path(options.labels.profile))
        return replace(profile, direction=options.labels.direction or profile.direction)
    return _with_direction(build_profile(options.labels.profile), options.labels.direction)


def _with_direction(profile: ScriptProfile, direction: str | None) -> ScriptProfile:
    """direction: None: the profile's own, empty if it takes texts of any direction."""
    return replace(profile, direction=direction or (profile.direction if profile.letters else ""))


def _some_labels(sources: list[Source], catalogue: Catalogue) -> Iterator[str]:
    """The labels of the _GUESSED_FROM entries that come first in the order of the set, or nearly as many."""
    readers = [source.open() for source in sources]
    try:
        for entry in catalogue.first_in_order(_GUESSED_FROM):
            label = None if entry.problem else entry.label  # else it is a detail
            if label is not None and sources[entry.source].labels_apart:
                with suppress(Rejected):  # it becomes a reject when it is read
                    label = readers[entry.source].read_label(label)
            if label:
                yield label.decode("utf-8", "ignore")
    finally:
        for reader in readers:
            reader.close()
