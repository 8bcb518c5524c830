"""A trace of the steps asked for."""

import json

import pytest
import torch

from horovod_ocr.config.train import profiled_steps
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.profile import Profile


def test_the_trace_holds_the_steps_asked_for_and_no_others(tmp_path):
    profile = Profile("3:4", tmp_path, 1, torch.device("cpu"), 6)
    written = []
    for step in range(1, 7):
        profile.before(step)
        torch.ones(step).cumsum(0)
        written.append(profile.after(step))
    path = tmp_path / "profile/steps-3-4-rank-1.json"
    assert written == [None, None, None, path, None, None]
    names = [event.get("name") for event in json.loads(path.read_text())["traceEvents"]]
    assert names.count("aten::cumsum") == 2


def test_it_ends_with_the_run_and_what_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "profile").write_bytes(b"in the way")
    profile = Profile("1:9", tmp_path, 0, torch.device("cpu"), 2)
    for step in (1, 2):
        profile.before(step)
        if step == 2:
            with pytest.warns(UserWarning, match="steps-1-2-rank-0.json could not be written"):
                assert profile.after(step) is None
        else:
            assert profile.after(step) is None


def test_without_one_nothing_is_written(tmp_path):
    profile = Profile("", tmp_path, 0, torch.device("cpu"), 6)
    profile.before(1)
    assert profile.after(1) is None and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["100", "110:100", "0:3", "a:b", "1:2:3", "1:"])
def test_a_window_that_is_none_says_how_to_write_it(text):
    with pytest.raises(ConfigError, match="such as 100:110"):
        profiled_steps(text)
