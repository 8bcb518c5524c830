"""What a run begins from."""

import pytest

from horovod_ocr.checkpoint.file import write_checkpoint
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ConfigError
from horovod_ocr.run.folder import LAST, Ownership
from horovod_ocr.training import begin
from horovod_ocr.training.begin import choose_config, choose_run
from tests.unit.checkpoint.payload import tiny_payload


def test_a_run_of_another_version_goes_on_without_the_settings_that_are_gone(tmp_path, capsys):
    payload = tiny_payload()
    payload["config"] = {**TrainConfig.of(lr=0.5).to_dict(), "gone": 1}
    write_checkpoint(Ownership(tmp_path / "it"), 1, payload, is_best=False)
    config = choose_config(None, {"resume": True, "runs": str(tmp_path), "run": "it", "steps": 9})
    assert (config.optimizer.lr, config.plan.steps, config.run) == (0.5, 9, "it")
    assert "was begun by another version; not known: gone" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="no setting 'gone'"):
        choose_config(None, {"resume": True, "runs": str(tmp_path), "run": "it", "gone": 1})


def test_device_and_engine_are_those_of_the_machine_and_not_of_the_run(tmp_path, monkeypatch):
    """What was trained on a GPU goes on where there is none, and the other way round."""
    monkeypatch.chdir(tmp_path)
    saved = TrainConfig.of(run="it", device="cuda", engine="torch", lr=0.5).to_dict()
    monkeypatch.setattr(begin, "load_checkpoint", lambda run: {"config": saved})
    (tmp_path / "runs/it").mkdir(parents=True)
    resumed = {"resume": True, "run": "it"}
    assert (choose_config(None, resumed).ranks.device, choose_config(None, resumed).optimizer.lr) == ("auto", 0.5)
    assert choose_config(None, resumed).ranks.engine == "auto"
    assert choose_config(None, resumed | {"device": "cpu", "engine": "torch"}).ranks.device == "cpu"
    (tmp_path / "horovod-ocr.toml").write_text('[train]\ndevice = "cuda"\nengine = "horovod"\n')
    ranks = choose_config(None, resumed).ranks
    assert (ranks.device, ranks.engine) == ("cuda", "horovod")


def test_a_run_keeps_its_settings_although_its_recipe_is_typed_again(tmp_path):
    payload = tiny_payload()
    payload["config"] = TrainConfig.of(recipe="xray", lr=0.25, height=48).to_dict()
    write_checkpoint(Ownership(tmp_path / "it"), 1, payload, is_best=False)
    resumed = {"resume": True, "runs": str(tmp_path), "run": "it"}
    again, other = (choose_config(recipe, resumed) for recipe in ("xray", "asl"))
    assert (again.optimizer.lr, again.network.height) == (0.25, 48)
    assert other.optimizer.lr != 0.25 and other.network.height != 48 and other.recipe == "xray"


def test_what_a_run_keeps_although_its_recipe_has_changed_is_told(tmp_path, capsys):
    recipe = tmp_path / "mine.toml"
    payload = tiny_payload()
    payload["config"] = TrainConfig.of(recipe=str(recipe), steps=40, lr=0.5).to_dict()
    write_checkpoint(Ownership(tmp_path / "it"), 1, payload, is_best=False)
    resumed = {"resume": True, "runs": str(tmp_path), "run": "it"}
    for text, given, told in (
        ("steps = 40\n", {}, None),
        (
            "steps = 80\nlr = 0.5\n",
            {},
            "keeps its own settings where recipe mine.toml has others: steps 40 (recipe: 80); to",
        ),
        ("steps = 40\nmodel_options = {width = 0.5}\n", {}, "has others: model_options.width - (recipe: 0.5); to"),
        ("steps = 80\n", {"steps": 80}, None),
        ("steps = \n", {}, None),
        (None, {}, None),
    ):
        recipe.write_text(text) if text else recipe.unlink()
        config = choose_config(f"{tmp_path}/./mine.toml", resumed | given)
        assert (config.plan.steps, config.optimizer.lr) == (given.get("steps", 40), 0.5)
        said = " ".join(capsys.readouterr().err.split()).replace(f"{tmp_path}/./", "")
        assert (told in said) if told else not said


def test_a_run_with_compression_goes_on_in_another_exchange_only_without_it(tmp_path):
    """The setting is in the checkpoint: to leave the option out would change nothing."""
    payload = tiny_payload()
    payload["config"] = TrainConfig.of(compression="fp16").to_dict()
    write_checkpoint(Ownership(tmp_path / "it"), 1, payload, is_best=False)
    resumed = {"resume": True, "runs": str(tmp_path), "run": "it", "exchange": "diloco"}
    with pytest.raises(ConfigError, match="compression fp16 goes with .* not with diloco; give --compression none"):
        choose_config(None, resumed)
    assert choose_config(None, {**resumed, "compression": "none"}).exchange.exchange == "diloco"


def test_where_torchrun_has_started_the_ranks_again_the_run_goes_on_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"run": "it", "shards": "nowhere", "lr": 0.5}
    payload = tiny_payload()
    payload["config"] = TrainConfig.of(run="it", lr=0.25, seed=7).to_dict()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setattr(begin, "new_config", lambda recipe, given: TrainConfig.of(**given))
    assert not choose_config(None, given).resume  # it has ended before its first checkpoint
    write_checkpoint(Ownership(tmp_path / "runs/it"), 1, payload, is_best=False)
    config = choose_config(None, given)
    assert config.resume and (config.seed, config.optimizer.lr) == (7, 0.5)
    with pytest.raises(ConfigError, match="no name by which it could go on; give --run NAME, or torchrun --max-rest"):
        choose_config(None, {"lr": 0.5})
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not choose_config(None, given).resume  # choose_run refuses it then


@pytest.mark.parametrize("shared", ['run = "it"', 'run = "it"\nresume = true'])
def test_a_run_named_in_the_settings_file_is_the_one_that_goes_on(tmp_path, monkeypatch, shared):
    """Although another one is newer; and `resume = true` there is --resume: a run keeps its settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("it", "newer"):
        payload = tiny_payload()
        payload["config"] = TrainConfig.of(run=name, lr=0.25).to_dict()
        write_checkpoint(Ownership(tmp_path / "runs" / name), 1, payload, is_best=False)
    (tmp_path / "horovod-ocr.toml").write_text(f"[train]\nlr = 0.5\n{shared}\n")
    config = choose_config(None, {} if "resume" in shared else {"resume": True})
    assert (config.run, config.resume, config.optimizer.lr) == ("it", True, 0.25)
    assert choose_config(None, {"resume": True, "run": "newer"}).run == "newer"


@pytest.mark.parametrize("resumes", [False, True])
def test_checkpoints_without_last_are_a_run_all_the_same(tmp_path, resumes):
    """A new run in that folder would remove them."""
    write_checkpoint(Ownership(tmp_path / "it"), 1, tiny_payload(), is_best=False)
    (tmp_path / "it" / LAST).unlink()
    config = TrainConfig.of(runs=str(tmp_path), run="it", resume=resumes)
    if resumes:
        assert choose_run(config) == tmp_path / "it"
    else:
        with pytest.raises(ConfigError, match="holds a run already; continue it with --resume"):
            choose_run(config)
