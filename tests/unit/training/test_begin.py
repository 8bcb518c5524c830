"""What a run begins from."""

import pytest

from horovod_ocr.config import TrainConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.store import open_store
from horovod_ocr.data.stream import Stream, StreamOptions
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.begin import check_shared_memory, choose_config
from horovod_ocr.training.checkpoint import write_checkpoint
from horovod_ocr.training.folder import Ownership
from tests.unit.training.payload import tiny_payload


def test_a_run_of_another_version_goes_on_without_the_settings_that_are_gone(tmp_path, capsys):
    payload = tiny_payload()
    payload["config"] = {**TrainConfig(lr=0.5).to_dict(), "gone": 1}
    write_checkpoint(Ownership(tmp_path / "it"), 1, payload, is_best=False)
    config = choose_config("", {"resume": True, "runs": str(tmp_path), "run": "it", "steps": 9})
    assert (config.lr, config.steps, config.run) == (0.5, 9, "it")
    assert "was begun by another version; not known: gone" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no setting 'gone'"):
        choose_config("", {"resume": True, "runs": str(tmp_path), "run": "it", "gone": 1})


@pytest.mark.parametrize(("workers", "free_bytes", "fits"), [(2, 1 << 20, False), (2, 1 << 30, True), (0, 0, True)])
def test_a_run_begins_if_the_batches_of_its_workers_fit(word_shards, workers, free_bytes, fits):
    store = open_store(str(word_shards))
    stream = Stream(store, Geometry(64, store.index.aspect_edges), StreamOptions("train", workers=workers))
    if fits:
        check_shared_memory(stream, 1, free_bytes)
        return
    with pytest.raises(ConfigError, match=r"/dev/shm has 1\.0 MB free, and 2 loader workers need up to \d"):
        check_shared_memory(stream, 1, free_bytes)
