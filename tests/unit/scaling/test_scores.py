"""Score at equal samples and at equal time."""

from dataclasses import replace
from pathlib import Path

import pytest

from horovod_ocr.errors import DataError
from horovod_ocr.scaling.scores import Curve, mean_of, race, read_curves

FAST = Curve("xray", "allreduce", "accuracy", (10, 20, 30), (0.6, 0.8, 0.9), 32)
LOCAL = Curve("xray", "diloco", "accuracy", (10, 20, 30), (0.5, 0.6, 0.8), 32)


def test_scores_between_validations_lie_on_a_line():
    assert FAST.at(15) == pytest.approx(0.7) and FAST.at(100) == 0.9
    assert replace(FAST, scores=(0.6, 0.9, 0.8)).at(30) == 0.9  # that of BEST
    assert FAST.steps_to(0.7) == pytest.approx(15) and FAST.steps_to(0.8) == 20 and FAST.steps_to(0.95) is None


def test_a_quick_way_wins_time_and_may_lose_score():
    result = race([FAST, LOCAL], {"allreduce": 1.0, "diloco": 0.25, "sharded-server": 1.1, "powersgd": 0.1})
    assert set(result.to_target_s) == {"allreduce", "diloco", "sharded-server"}  # powersgd has no run
    assert result.target == 0.8
    assert result.to_target_s == pytest.approx({"allreduce": 20, "diloco": 7.5, "sharded-server": 22})
    assert result.at_end == {"allreduce": 0.9, "diloco": 0.8, "sharded-server": 0.9}
    assert result.time_s == 7.5 and result.in_time["diloco"] == 0.8
    assert result.in_time["allreduce"] == pytest.approx(FAST.at(7.5))


def test_the_mean_of_runs_keeps_their_steps():
    both = mean_of([FAST, LOCAL])
    assert both.steps == FAST.steps and both.runs == 2
    assert both.scores == pytest.approx((0.55, 0.7, 0.85))


def test_a_run_without_a_validation_is_refused(tmp_path, monkeypatch):
    from horovod_ocr.config.train import TrainConfig
    from horovod_ocr.scaling import scores

    monkeypatch.setattr(scores, "load_checkpoint", lambda run: {})
    monkeypatch.setattr(scores, "config_of", lambda payload, run: TrainConfig.of(recipe="xray", exchange="diloco"))
    (tmp_path / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "loss": 2}\n')
    with pytest.raises(DataError, match="no validation yet"):
        scores.read_curve(tmp_path)
    lines = (
        '{"kind": "val", "step": 5, "accuracy": 0.5, "error_rate": 0.5}\n{"kind": "val", "step": 9, "accuracy": 1}\n'
    )
    (tmp_path / "metrics.jsonl").write_text(lines)
    curve = scores.read_curve(tmp_path)
    assert (curve.way, curve.steps, curve.scores, curve.task) == ("diloco", (5, 9), (0.5, 1), "xray")


def test_a_score_of_nothing_is_reached_at_once():
    nothing = Curve("demo", "diloco", "word accuracy", (10, 20), (0.0, 0.0), 32)
    assert nothing.steps_to(0.0) == 0.0
    assert race([FAST, nothing], {"allreduce": 1.0, "diloco": 1.0}).to_target_s == {"allreduce": 0.0, "diloco": 0.0}


def test_runs_of_other_samples_are_not_compared(monkeypatch):
    from horovod_ocr.scaling import scores

    curves = {"a": FAST, "b": LOCAL, "c": replace(LOCAL, samples_of_step=64), "d": replace(FAST, steps=(10, 21, 30))}
    curves["e"] = replace(LOCAL, sync_batchnorm=True)
    monkeypatch.setattr(scores, "read_curve", lambda run: curves[run.name])
    assert [curve.way for curve in read_curves([Path("b"), Path("a")])] == ["allreduce", "diloco"]
    with pytest.raises(DataError, match=r"^a took 30 steps of 32 samples, and c 30 steps of 64 samples; compare"):
        read_curves([Path("a"), Path("c")])
    with pytest.raises(DataError, match=r"^a was trained without sync_batchnorm, and e with; compare runs"):
        read_curves([Path("a"), Path("e")])
    with pytest.raises(DataError, match=r"^a and d validated at other steps"):
        read_curves([Path("a"), Path("d")])
