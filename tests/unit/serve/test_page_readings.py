"""The page's JavaScript turns scores into readings as Python does: texts, confidences, letters, other readings."""

import numpy as np
import pytest

from horovod_ocr.serve.script_table import script_table
from horovod_ocr.tasks.readers import ClassReader, WordReader
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile
from tests.unit.serve.page_js import needs_node, run_js

pytestmark = needs_node()
CHARSET = Charset.build("ابپتکیےں\u0654\u064e۱۲۹19 .،()-a", build_profile("urdu"))
READ_IN_JS = """
const built = script.buildScript(values.table);
return values.scores.map(({ data, frames, outputs }) => {
  const scores = { data: Float32Array.from(data), frames, outputs };
  const logs = decode.allLogs(scores, values.temperature);
  const { ids, confidence } = decode.greedy(logs);
  const text = built.decode(ids);
  const others = decode.alternatives(logs, text, built, 5);
  return { text, confidence, letters: decode.alignText(scores, logs, text, built), others };
});"""


def random_scores(count: int, seed: int) -> list[np.ndarray]:
    """float32 (T, C), as a trained model has them: one output is high, often the blank, and some come close."""
    draw = np.random.default_rng(seed)
    scores = []
    for _ in range(count):
        frames = int(draw.integers(1, 40))
        logits_TC = draw.normal(0, 1.2, (frames, len(CHARSET))).astype(np.float32)
        best_T = np.where(draw.random(frames) < 0.5, 0, draw.integers(1, len(CHARSET), frames))
        best_T[1:] = np.where(draw.random(frames - 1) < 0.2, best_T[:-1], best_T[1:])
        logits_TC[np.arange(frames), best_T] += draw.uniform(2, 9, frames).astype(np.float32)
        scores.append(logits_TC)
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_readings_are_those_of_python(temperature):
    reader = WordReader(CHARSET, temperature)
    scores = random_scores(60, seed=3)
    values = [{"data": each.ravel().tolist(), "frames": len(each), "outputs": len(CHARSET)} for each in scores]
    found = run_js(READ_IN_JS, {"table": script_table(CHARSET), "scores": values, "temperature": temperature})
    letters = 0
    for logits_TC, in_js in zip(scores, found, strict=True):
        [reading] = reader.read(logits_TC[:, None], np.array([len(logits_TC)]))
        assert in_js["text"] == reading.text
        assert in_js["confidence"] == pytest.approx(reading.confidence, abs=1e-5)
        spans = [each._asdict() for each in reader.letters(reading, logits_TC)]
        letters += len(spans)
        for one, other in zip(spans, in_js["letters"], strict=True):
            assert {**other, "confidence": 0} == {**one, "confidence": 0}
            assert other["confidence"] == pytest.approx(one["confidence"], abs=1e-5)
        others = reader.alternatives(reading, logits_TC, 5)
        assert [each["text"] for each in in_js["others"]] == [each.text for each in others]
        assert [each["confidence"] for each in in_js["others"]] == pytest.approx([each.confidence for each in others])
    assert letters > 300


def test_probabilities_of_classes_are_those_of_python():
    reader = ClassReader(("cat", "dog", "hen"), 1.4)
    logits_NC = np.random.default_rng(1).normal(0, 3, (20, 3)).astype(np.float32)
    about = {
        "kind": "classes",
        "classes": list(reader.classes),
        "temperature": reader.temperature,
        "geometry": {"height": 8, "bucket_edges": [1.0], "width": 8, "channels": 1},
    }
    found = run_js(
        """return Promise.all(values.logits.map((row) => {
          const reads = recognizer.build(values.about, async () => ({ data: Float32Array.from(row), dims: [1, 3] }));
          return reads.read({ width: 8, height: 8, data: new Uint8ClampedArray(256).fill(255) });
        }));""",
        {"about": about, "logits": logits_NC.tolist()},
    )
    for reading, in_js in zip(reader.read(logits_NC, None), found, strict=True):
        assert in_js["class"] == reading.text
        assert in_js["confidence"] == pytest.approx(reading.confidence, abs=1e-6)
        assert list(in_js["probabilities"].values()) == pytest.approx(reading.probabilities_C.tolist(), abs=1e-6)


def test_a_cell_of_the_csv_neither_breaks_it_nor_runs_as_a_formula():
    rows = [["a", 'b "c"', "d,e"], ["=1+2", "+1", "-1", "@x", "\t=1", " =1", "＝1"], ["کتاب", "f\ng", None, 1.5]]
    text = run_js("return csv.write(values);", rows)
    assert text == (
        '\ufeffa,"b ""c""","d,e"\r\n"\'=1+2","\'+1","\'-1","\'@x","\'\t=1","\' =1","\'＝1"\r\nکتاب,"f\ng",,1.5\r\n'
    )
