"""What a run must keep is said with both values, by the names of settings."""

from dataclasses import replace

import pytest

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError
from horovod_ocr.training.identity import check_resumable
from tests.unit.checkpoint.payload import tiny_payload

PLAN = tiny_payload()["plan"]
PHOTO = Geometry(64, (1.0,), 64)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            {"plan": PLAN | {"global_batch": 32, "seed": 7}},
            "with seed 0, not 7, global_batch 64, not 32; leave out the",
        ),
        ({"model_name": "cnn"}, "with model crnn, not cnn; leave out the --recipe or the options that ask for that"),
        (
            {"model_options": {}, "geometry": replace(PHOTO, height=32, width=32, channels=3).to_dict()},
            "with model_options {'width': 0.5}, not {}, height 64, not 32, pixels grey, not rgb; leave out",
        ),
        ({"plan": PLAN | {"index_digest": "f"}}, "on another shard set than shards is now; give its own with --shards"),
    ],
)
def test_a_run_that_cannot_go_on_names_both_values(other, sentence):
    payload = tiny_payload() | {"step": 9, "geometry": PHOTO.to_dict()}
    mine = {name: payload[name] for name in ("task", "model_name", "model_options", "geometry", "plan")}
    check_resumable(payload, mine, "it", "shards", 9, "charset")
    with pytest.raises(CheckpointError) as error:
        check_resumable(payload, mine | other, "it", "shards", 9, "charset")
    assert sentence in str(error.value)
