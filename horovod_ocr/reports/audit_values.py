"""The numbers of an audit as plain JSON values."""

from typing import Any

from horovod_ocr.reports.set_parts import SIZE_TITLES
from sharding.audit.counts import count_formats, count_letters, rare_letters, stay_apart
from sharding.audit.result import Audit
from sharding.audit.set_stats import SetStats, stats_of_audit
from sharding.counts import by_count

QUANTILES = {"least": 0.0, "median": 0.5, "99 %": 0.99, "most": 1.0}


def audit_values(audit: Audit) -> dict[str, Any]:
    """What `horovod-ocr audit --json` prints."""
    found, stats = audit.found, stats_of_audit(audit)
    formats = count_formats(audit)
    return {
        "sources": [{"root": str(root), "layout": layout} for root, layout in audit.sources],
        "kind": audit.kind,
        "images": audit.entries,
        "looked_at": audit.looked_at,
        "packed": audit.packed,
        "splits": audit.samples,
        "rejects": by_count(found.rejects),
        "copies": audit.copies.counts,
        "profile": audit.profile.name,
        "direction": audit.profile.direction,
        "profile_why": audit.profile_why,
        "notes": list(audit.notes),
        **letter_values(audit),
        "label_lengths": {} if audit.kind == "classes" else dict(sorted(found.lengths.items())),
        "distinct_labels": audit.labels.distinct,
        "single_labels": audit.labels.single,
        "often": [{"label": label, "images": count} for label, count in audit.labels.often],
        "classes": dict(zip(audit.classes, stats.classes.sum(axis=0).tolist(), strict=True)),
        "subsets": dict(zip(audit.subsets, stats.subsets.sum(axis=0).tolist(), strict=True)),
        "formats": {name: count.images for name, count in formats.items()},
        "converted": sum(count.converted for count in formats.values()),
        "sizes": size_values(stats),
        "buckets": dict(zip(map(str, audit.bucket_edges), audit.buckets.sum(axis=0).tolist(), strict=True)),
        "read_bytes": found.read_bytes,
    }


def letter_values(audit: Audit) -> dict[str, Any]:
    """The alphabet, and what becomes of the letters as they were written."""
    raw = audit.found.labels
    return {
        "alphabet": {letter: count.in_all for letter, count in count_letters(audit).items()},
        "rare_letters": rare_letters(audit) if audit.kind == "words" else [],
        "folded": by_count(raw.folded),
        "refused_letters": by_count(raw.refused),
        "changed_letters": {letter: becomes for letter, becomes, _ in audit.labels.changed_letters},
        "labels_changed": raw.changed,
        "look_alikes": [{**pair._asdict(), "kept_apart": stay_apart(pair)} for pair in audit.labels.confusables],
    }


def size_values(stats: SetStats) -> dict[str, dict[str, int]]:
    return {
        SIZE_TITLES[name]: {what: histogram.quantile(share) for what, share in QUANTILES.items()}
        for name, histogram in stats.sizes.items()
        if histogram.total
    }
