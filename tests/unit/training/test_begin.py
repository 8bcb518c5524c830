"""What a run begins from."""

import pytest

from horovod_ocr.config import TrainConfig
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.begin import choose_config
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
