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
            f"The {about['scores']['split']} split, whose samples no training step has seen, unless it is `train`. The "
            f"float32 model reads {about['parity']['compared']:,} samples exactly as the checkpoint does; their scores "
            f"differ by {about['parity']['largest_difference']:.1g} at most. They say little of other kinds of images: "
            "other faces or writers, other paper or cameras.",
            "",
            "## Confidences",
            "",
            *confidence_lines(about),
            "",
            "## Use",
            "",
            *USE,
            "",
        ]
    )


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
    lines = [
        f"Scaled by a temperature of {confidence['temperature']:g}, fitted on the {confidence['fitted_on']} split. "
        f"Expected calibration error on the {confidence['measured_on']} split: "
        f"{confidence['calibration_error']['fp32']:.3f}.",
        "",
        "| rejected below | readings that stay | of them wrong |",
        "| --- | --- | --- |",
    ]
    for row in confidence["rejections"]:
        if row["below"] in SHOWN_REJECTIONS:
            lines.append(f"| {row['below']:g} | {row['coverage']:.1%} | {row['error']:.2%} |")
    return lines


USE = [
    "`pip install 'horovod-ocr[serve]'` brings what is needed; neither torch nor Horovod.",
    "",
    "    horovod-ocr predict --model FOLDER word.png",
    "    horovod-ocr serve FOLDER",
    "",
    "    from horovod_ocr.recognizer import Recognizer",
    '    for reading in Recognizer.load(FOLDER).read(["word.png"]):',
    "        print(reading.text, reading.confidence)",
    "",
    "FOLDER is this folder, or the zip of it. Without this package: the input `images` of the ONNX files is uint8",
    "(N, H, W, C), 255 white, scaled to the `geometry` of recognizer.json and padded on the right; the output `logits`",
    "holds the unnormalised scores.",
]
