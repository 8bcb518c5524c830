"""The model card of an export: what it is, how good it is, how to use it."""

from typing import Any

from horovod_ocr.tasks.figures import FIGURES
from horovod_ocr.tasks.readers import reader_from_dict

SHOWN_REJECTIONS = (0.0, 0.5, 0.8, 0.9, 0.96, 0.99)


def write_card(about: dict[str, Any]) -> str:
    """Markdown, from the content of recognizer.json."""
    trained = about["trained"]
    return "\n".join(
        [
            f"# {about['name']}",
            "",
            f"{reader_from_dict(about['task']).summary()}",
            "",
            f"Model `{trained['model']}` of {trained['parameters']:,} parameters, step {trained['step']:,} of run "
            f"`{trained['run']}`, trained on the shard set with index digest "
            f"`{trained['index_digest']}`. Made by {about['made_by']}.",
            "",
            "## Scores",
            "",
            *score_table(about),
            "",
            seen_text(about),
            "",
            f"The float32 model reads {about['parity']['compared']:,} of them exactly as the checkpoint does; logits "
            f"differ by up to {about['parity']['largest_difference']:.2g}. Scores on other kinds of images may be much "
            "lower: other faces or writers, other paper or cameras.",
            "",
            "## Confidences",
            "",
            *confidence_lines(about),
            "",
            "## Use",
            "",
            *use_lines(about),
            "",
        ]
    )


def seen_text(about: dict[str, Any]) -> str:
    """On which samples the scores were measured."""
    split = about["scores"]["split"]
    seen = "which the model was trained on" if split == "train" else "which no training step has seen"
    return f"Of the {split} split, {seen}."


def score_table(about: dict[str, Any]) -> list[str]:
    figures = [f for f in FIGURES[about["task"]["kind"]].figures if f.key in about["scores"]["fp32"]]
    rows = [["model", "MB", *(figure.title for figure in figures), "samples"], ["---"] * (len(figures) + 3)]
    for name, model in about["models"].items():
        scores = about["scores"][name]
        size = f"{model['bytes'] / 1e6:.2f}"
        row = [f"`{model['file']}`", size, *(figure.text(scores) for figure in figures), f"{scores['samples']:,}"]
        rows.append(row)
    return [f"| {' | '.join(row)} |" for row in rows]


def confidence_lines(about: dict[str, Any]) -> list[str]:
    confidence = about["confidence"]
    errors = ", ".join(f"{value:.3f} ({name})" for name, value in confidence["calibration_error"].items())
    lines = [
        f"Scaled by a temperature of {confidence['temperature']:g}, fitted on the {confidence['fitted_on']} split. "
        f"Expected calibration error on the {confidence['measured_on']} split: {errors}.",
        "",
        "| model | rejected below | readings that stay | of them wrong |",
        "| --- | --- | --- | --- |",
    ]
    for name, rows in confidence["rejections"].items():
        for row in rows:
            if row["below"] in SHOWN_REJECTIONS:
                lines.append(f"| {name} | {row['below']:g} | {row['coverage']:.1%} | {row['error']:.2%} |")
    return lines


def use_lines(about: dict[str, Any]) -> list[str]:
    """How to read with it, with this package and without it."""
    together = ", ".join(f"{model['images_a_run']} ({name})" for name, model in about["models"].items())
    return [*USE, f"Images of a run, at most: {together}; with more, readings may depend on each other."]


USE = [
    "`pip install 'horovod-ocr[serve]'`, in a checkout `pip install '.[serve]'`, brings what is needed: neither torch",
    "nor Horovod. FOLDER is this folder, or the zip of it.",
    "",
    "    horovod-ocr predict --model FOLDER word.png",
    "    horovod-ocr serve FOLDER",
    "",
    "    from horovod_ocr.recognizer import Recognizer",
    '    for reading in Recognizer.load("FOLDER").read(["word.png"]):',
    "        print(reading.text, reading.confidence)",
    "",
    "Without this package: the input `images` is uint8 (N, H, W, C), 255 white; the output `logits` holds unnormalised",
    "scores. docs/export.md of horovod-ocr says how an image is scaled and padded.",
]
