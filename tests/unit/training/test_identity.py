"""What a run must keep is said with both values, and with the recipe that asks for another."""

import pytest

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError
from horovod_ocr.training.identity import check_resumable
from tests.unit.checkpoint.payload import tiny_payload

PLAN = tiny_payload()["plan"]


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"plan": PLAN | {"global_batch": 32}}, "with global_batch 64, not 32{}: the samples left"),
        ({"model_name": "cnn"}, "with model crnn, not cnn{}; give its own values"),
        (
            {"model_options": {}, "geometry": Geometry(32, (2.0, 4.0)).to_dict()},
            "with model_options {{'width': 0.5}}, not {{}}, height 64, not 32{}; give its own values",
        ),
    ],
)
def test_a_run_that_cannot_go_on_names_both_values_and_the_recipe(other, sentence):
    payload = tiny_payload() | {"step": 9}
    mine = {name: payload[name] for name in ("task", "model_name", "model_options", "geometry", "plan")}
    arguments = ("it", "shards", 9, "charset")
    check_resumable(payload, mine, *arguments, "asl")
    for recipe, cause in ((None, ""), ("asl", " (recipe asl; its own is none)")):
        with pytest.raises(CheckpointError) as error:
            check_resumable(payload, mine | other, *arguments, recipe)
        assert sentence.format(cause) in str(error.value)
