"""The set-up: what its files promise to each other, and what the installed Horovod was taught."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
needs_horovod = pytest.mark.skipif(importlib.util.find_spec("horovod") is None, reason="needs Horovod (make setup)")


def run(*command: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, **options)


def extras_of(name: str) -> list[str]:
    return PYPROJECT["project"]["optional-dependencies"][name]


def test_environment_yml_asks_for_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    named = [each for extra in ("train", "serve", "synth", "horovod", "dev") for each in extras_of(extra)]
    wanted = list(dict.fromkeys(PYPROJECT["project"]["dependencies"] + named))
    assert environment.pop()["pip"] == wanted
    python = next(line for line in environment if line.startswith("python="))
    assert f"python{PYPROJECT['project']['requires-python']}" == python.replace("=", ">=")


def test_the_installed_torch_is_the_one_that_is_asked_for():
    wanted = next(line for line in extras_of("train") if line.startswith("torch=="))
    assert importlib.metadata.version("torch").split("+")[0] == wanted.removeprefix("torch==")


@pytest.mark.parametrize("statement", ["import horovod", "import horovod.torch as hvd", "from horovod import torch"])
@pytest.mark.parametrize(
    ("path", "is_banned"),
    [
        ("horovod_ocr/training/loop.py", True),
        ("sharding/format/tar.py", True),
        ("horovod_ocr/distributed/horovod.py", False),
    ],
)
def test_only_world_py_may_import_horovod(statement, path, is_banned):
    source = f"def late():\n    {statement}\n"  # an import inside a function counts too
    checked = run(
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--select",
        "TID251",
        "--stdin-filename",
        ROOT / path,
        "-",
        input=source,
        cwd=ROOT,
    )
    assert checked.returncode == int(is_banned), checked.stdout + checked.stderr
    assert ("TID251" in checked.stdout) == is_banned


def test_ci_runs_make_test():
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if "make" in line and line[0] != "#"]
    assert commands == ["exec make test"]


def bare_environment(folder: Path, programs: str) -> dict[str, str]:
    """An environment whose PATH holds only these programs; HOME and the cache are new."""
    for program in programs.split():
        (folder / program).symlink_to(f"/usr/bin/{program}")
    return {"PATH": str(folder), "HOME": str(folder), "HOROVOD_OCR_CACHE": str(folder / "cache")}


def test_the_build_names_every_missing_tool_and_its_package_before_it_starts(tmp_path):
    environment = bare_environment(tmp_path, "cat sha256sum uname")
    # an environment with torch but without Horovod; written as a program, because the real one may have both
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho cp311 2.13.0 none 0 none none none\n")
    python.chmod(0o755)
    build = run("/bin/bash", ROOT / "scripts/build_horovod.sh", python, env=environment)
    assert build.returncode == 2
    for package in ("gcc", "g++", "make", "git", "python3-dev"):
        assert f"(Debian package {package})" in build.stderr
    assert not (tmp_path / "cache").exists()


def test_a_check_before_torch_is_there_names_them_too_unless_a_wheel_is_kept(tmp_path):
    environment = bare_environment(tmp_path, "cat sha256sum uname")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho cp311 none none 0 none none none\n")
    python.chmod(0o755)
    check = ("/bin/bash", ROOT / "scripts/build_horovod.sh", "--check", python)
    missing = run(*check, env=environment)
    assert missing.returncode == 2 and "(Debian package g++)" in missing.stderr
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "horovod-0.28.1+torch.whl").touch()
    assert run(*check, env=environment).returncode == 0


def installed_before_the_build(folder: Path, has_horovod=False, apt_works=True, **more) -> tuple[str, str]:
    """What apt-get is asked to install as root, and what the script says. It must never fail."""
    folder.mkdir()
    environment = bare_environment(folder, "cat mktemp rm tail") | more
    (folder / "python").write_text(f"#!/bin/sh\nexit {int(not has_horovod)}\n")
    (folder / "apt-get").write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\nexit {int(not apt_works)}\n')
    for program in ("python", "apt-get"):
        (folder / program).chmod(0o755)
    script = ROOT / "scripts/install_system_packages.sh"
    done = run("/bin/bash", script, "--before-build", folder / "python", env=environment)
    assert done.returncode == 0, done.stderr
    asked = folder / "asked"
    return asked.read_text() if asked.exists() else "", done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_mpi_comes_before_the_first_build_and_no_second_one_follows(tmp_path):
    asked, said = installed_before_the_build(tmp_path / "first")
    assert asked.splitlines()[-1] == "install --yes --no-install-recommends openmpi-bin libopenmpi-dev"
    assert installed_before_the_build(tmp_path / "built", has_horovod=True) == ("", "")
    assert installed_before_the_build(tmp_path / "without", HOROVOD_WITHOUT_MPI="1") == ("", "")
    asked, said = installed_before_the_build(tmp_path / "offline", apt_works=False)
    assert asked == "update\n" and "missing Debian packages: openmpi-bin libopenmpi-dev" in said
    lines = (ROOT / "Makefile").read_text().splitlines()
    setup = lines.index(next(line for line in lines if line.startswith("setup:")))
    assert "install_system_packages.sh --before-build" in lines[setup + 1] and "build_horovod.sh" in lines[setup + 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "ranks", "device"),
    [("()", 2, "auto"), ("(0,)", 1, "auto"), ("(0, 1, 2, 3)", 4, "auto"), ("(), problem='too old'", 2, "cpu")],
)
def test_the_demo_trains_on_one_rank_a_gpu_and_without_gpus_on_two(tmp_path, gpus, ranks, device):
    """The demo's commands, spoken by programs that do nothing."""
    (tmp_path / "scripts").mkdir()
    demo = shutil.copy(ROOT / "scripts/demo.sh", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    python = (
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "import horovod_ocr.distributed.gpus as gpus\n"
        f"gpus.find_gpus = lambda: gpus.Gpus({gpus})\n"
        "exec(sys.stdin.read())\n"
    )
    shell = "#!/bin/sh\nmkdir -p runs/demo\n"
    for name, text in (("horovod-ocr", shell), ("horovodrun", shell), ("python", python)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    done = run("/bin/bash", demo, env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    train = f"$ horovodrun -np {ranks} -H localhost:{ranks} horovod-ocr train --recipe demo --device {device}\n"
    assert train in done.stdout and f"$ horovod-ocr eval --device {device}\n" in done.stdout
    assert ("the demo takes the CPU: too old" in done.stderr) == (device == "cpu")


@needs_horovod
def test_the_installed_horovod_is_the_patched_one():
    installed = importlib.metadata.version("horovod")
    torch = importlib.metadata.version("torch").replace("+", ".")
    assert re.fullmatch(rf"0\.28\.1\+torch{re.escape(torch)}\.(gloo|mpi)(\.\w+)?\.p[0-9a-f]{{8}}", installed), (
        f"horovod {installed} was not built by scripts/build_horovod.sh for torch {torch}; run: make setup"
    )


@needs_horovod
def test_hosts_txt_names_this_machine_with_three_slots():
    from horovod.runner.common.util.hosts import parse_host_files

    assert parse_host_files(ROOT / "hosts.txt") == "localhost:3"
    nodes = re.findall(r"^# (node\d slots=1)$", (ROOT / "hosts.txt").read_text(), re.MULTILINE)
    assert len(nodes) == 3


@needs_horovod
@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("node1 slots=4\n", "node1:4"),
        ("node1 slots=4 max_slots=8\n", "node1:4"),
        ("node1 slots = 4 max-slots=8\n", "node1:4"),
        ("node1:4", "node1:4"),
        ("node1", "node1:1"),
        ("# two\n\n  node-1.lan slots=2  # old\n\t\n10.0.0.2\tslots=1\r\n#node3\n", "node-1.lan:2,10.0.0.2:1"),
    ],
)
def test_hostfile(tmp_path, text, hosts):
    from horovod.runner.common.util.hosts import parse_host_files

    (tmp_path / "hosts.txt").write_text(text)
    assert parse_host_files(tmp_path / "hosts.txt") == hosts
    (tmp_path / "hosts.txt").write_text(text, "utf-8-sig")
    assert parse_host_files(tmp_path / "hosts.txt") == hosts


@needs_horovod
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node1\nnode2 slots=\n", "line 2: 'node2 slots='"),
        ("node1 slots=two\n", "line 1"),
        ("node1 4\n", "line 1"),
        ("node1:2,node2:2\n", "line 1"),
        ("\nnode1 slots=0\n", "line 2: 'node1 slots=0' has no slot"),
        ("node1\n\nnode1:2\n", "line 3: node1 stands there a second time"),
        ("# nothing\n\n", "names no host"),
        ("node1\nme@node2:4\n", "line 2: 'me@node2:4' names a user, and horovodrun takes host names only; write"),
        ("node1\n\0", "this is UTF-16, or no text at all; save it as UTF-8"),
    ],
)
def test_a_bad_hostfile_is_a_value_error_with_file_and_line(tmp_path, text, said):
    from horovod.runner.common.util.hosts import parse_host_files

    (tmp_path / "hosts.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        parse_host_files(tmp_path / "hosts.txt")
    assert str(tmp_path / "hosts.txt") in str(caught.value)
    assert caught.value.exit_code == 2


@needs_horovod
@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ("-np 4 -H hosts.txt true", 4, "Requested more processes (4) than there are available slots (3)"),
        ("-np 4 -H localhost:3 true", 4, "raise slots= in the hostfile"),
        ("-np 0 -H hosts.txt true", 2, "asks for no process"),
        ("-np 2 -H absent.txt true", 2, "absent.txt"),
        ("-np 2 -H me@node1:2 true", 2, "write 'node1:2' here, and in ~/.ssh/config: Host node1"),
        ("-np 2 --hostfile absent.txt true", 2, "cannot read the hostfile absent.txt"),
        ("-np 2 -H hosts.txt", 2, "no command"),
    ],
)
def test_horovodrun_says_in_one_sentence_what_a_person_can_mend(
    tmp_path, monkeypatch, capsys, arguments, exit_code, said
):
    from horovod.runner.launch import run_commandline

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["horovodrun", *arguments.split()])
    Path("hosts.txt").write_text("localhost slots=3\n")
    with pytest.raises(SystemExit) as ended:
        run_commandline()
    sentence = capsys.readouterr().err
    assert ended.value.code == exit_code, sentence
    assert said in sentence
    assert len(sentence.splitlines()) == 1


def test_a_skip_is_known_by_its_reason(request):
    conftest = request.config.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py"))
    assert conftest.is_known_skip("Skipped: needs openssh-server")
    assert not conftest.is_known_skip("Skipped: flaky")


def test_package_data_reaches_the_wheel():
    data = PYPROJECT["tool"]["setuptools"]["package-data"]["horovod_ocr"]
    assert {"recipes/*.toml", "synth/fonts/*"} <= set(data)
    assert os.access(ROOT / "scripts/build_horovod.sh", os.X_OK)
