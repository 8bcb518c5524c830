"""A trace of the steps asked for."""

import json

import pytest
import torch

from horovod_ocr.config.train import profiled_steps
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.hooks import Profile
from horovod_ocr.training.hooks.profile import check_whole
from horovod_ocr.training.state import TrainState


class Lines(list):
    """In place of a log."""

    line = list.append


def profile_steps(profile: Profile, steps: range, work=lambda step: None) -> None:
    state = TrainState(total_steps=99, steps_per_epoch=99)
    for state.step in steps:
        profile.before_step(state, None)
        work(state.step + 1)
        state.step += 1
        profile.after_step(state, None)
    profile.end()


@pytest.mark.slow
def test_the_trace_holds_the_steps_asked_for_and_no_others(tmp_path):
    lines = Lines()
    profile_steps(
        Profile("3:4", tmp_path, 1, torch.device("cpu"), lines), range(6), lambda step: torch.ones(step).cumsum(0)
    )
    path = tmp_path / "profile/steps-3-4-rank-1.json"
    assert lines == [f"profile written: {path}"]
    names = [event.get("name") for event in json.loads(path.read_text())["traceEvents"]]
    assert names.count("aten::cumsum") == 2


@pytest.mark.slow
def test_it_ends_with_the_run_and_what_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "profile").write_bytes(b"in the way")
    lines = Lines()
    with pytest.warns(UserWarning, match="steps-1-2-rank-0.json could not be written"):
        profile_steps(Profile("1:9", tmp_path, 0, torch.device("cpu"), lines), range(2))
    assert lines == []


@pytest.mark.slow
def test_a_run_that_stops_inside_keeps_the_steps_until_then(tmp_path):
    lines = Lines()
    profile_steps(Profile("2:50", tmp_path, 0, torch.device("cpu"), lines), range(4))
    path = tmp_path / "profile/steps-2-4-rank-0.json"
    assert lines == [f"profile written: {path}"] and json.loads(path.read_text())["traceEvents"]


def test_a_trace_that_was_cut_off_is_not_whole(tmp_path):
    (tmp_path / "trace").write_text('{"traceEvents": [{"name": "aten::cumsum"}, {"na')
    with pytest.raises(OSError, match="cut off"):
        check_whole(tmp_path / "trace")


def test_without_one_nothing_is_written(tmp_path):
    profile_steps(Profile(None, tmp_path, 0, torch.device("cpu"), Lines()), range(6))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["100", "110:100", "0:3", "a:b", "1:2:3", "1:"])
def test_a_window_that_is_none_says_how_to_write_it(text):
    with pytest.raises(ConfigError, match="such as 100:110"):
        profiled_steps(text)
