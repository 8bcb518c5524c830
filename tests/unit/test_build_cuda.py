"""Horovod's build for CUDA machines: when NCCL is taken, and what the compile is given. torch, the driver and pip's
downloads are small fakes; only the script is real."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/build_horovod.sh"

# Stands for the environment's python: pip is faked, everything else is real and sees the fake packages first.
PYTHON = """#!/bin/bash
set -e
export PYTHONPATH={site}
echo "$*" >> {record}/commands
case "$*" in
    "-m pip download"*) touch "${{@: -2:1}}/horovod-0.28.1.tar.gz" ;;
    "-m pip install --no-compile --target"*)
        for file in bin/nvcc bin/ptxas include/cuda_runtime.h include/cccl/cub.h nvvm/bin/cicc \\
                lib/libcudart.so.13 lib/libcudart_static.a lib/libcudadevrt.a; do
            install -D /dev/null "${{@: -2:1}}/nvidia/cu13/$file"
        done
        chmod +x "${{@: -2:1}}/nvidia/cu13/bin/nvcc" ;;
    "-m pip wheel"*)
        env > {record}/environment
        command -v nvcc > {record}/nvcc || true
        [[ -z ${{CUDA_HOME:-}} ]] || (cd "$CUDA_HOME" && find -L . -type f) > {record}/cuda_home
        mkdir "${{@: -2:1}}" && touch "${{@: -2:1}}/horovod-$HOROVOD_LOCAL_VERSION.whl" ;;
    "-m pip install"*horovod-*)
        version=${{@: -1}} version=${{version##*/horovod-}}
        install -D /dev/null {site}/horovod.dist-info/METADATA
        echo "Version: ${{version%%-cp*}}" > {site}/horovod.dist-info/METADATA ;;
    "-m"*) echo "not expected: $*" >&2; exit 1 ;;
    *) exec {python} "$@" ;;
esac
"""
# Python loads it at start, and so finds the driver that a test asks for, or none.
DRIVER = """
import ctypes
class Driver:
    def cuDriverGetVersion(self, version):
        version._obj.value = DRIVER
        return 0
def load(name, load=ctypes.CDLL):
    if name != "libcuda.so.1":
        return load(name)
    if DRIVER is None:
        raise OSError(name)
    return Driver()
ctypes.CDLL = load
"""
HOROVOD = "def gloo_built(): return True\nmpi_built = gloo_built\ndef nccl_built(): return 0\n"


class Machine:
    """A folder with an environment's python, its packages, the tools of a build, and a record of what they were asked.

    cuda: the CUDA version that torch is built for, None without. has_wheels: torch's CUDA is that of PyPI's wheels.
    driver: what cuDriverGetVersion says (12080 is CUDA 12.8), None without a driver.
    """

    def __init__(self, folder: Path, cuda: str | None = "13.0", has_wheels: bool = True, driver: int | None = None):
        self.folder, self.site, self.record = folder, folder / "site", folder / "record"
        self.tools = folder / "environment/bin"
        self.record.mkdir()
        self._write("site/torch/__init__.py", "raise AssertionError('importing torch takes seconds')\n")
        self._write("site/torch/version.py", f"cuda = {cuda!r}\n")
        self._write("site/torch-2.13.0.dist-info/METADATA", "Name: torch\nVersion: 2.13.0\n")
        self._write("site/horovod/torch/__init__.py", HOROVOD)
        if cuda and has_wheels:
            self._write("site/nvidia/cu13/lib/libcudart.so.13", "")
            self._write("site/nvidia/nccl/lib/libnccl.so.2", "")
            self._write("site/nvidia/nccl/include/nccl.h", "")
        self.set_driver(driver)
        real = Path(sys.executable).resolve()  # outside of a virtual environment, whose torch would be found too
        self._write("environment/bin/python", PYTHON.format(site=self.site, record=self.record, python=real))
        for tool in ("gcc", "g++", "make", "cmake", "git", "mpicxx", "mpirun"):
            self._write(f"environment/bin/{tool}", "#!/bin/sh\n")
        # the source distribution is an empty file here
        self._write("environment/bin/tar", '#!/bin/sh\nmkdir "$5/horovod-0.28.1"\n')
        checks = 'if [ "$1" = --check ]; then cat >/dev/null; else exec /usr/bin/sha256sum; fi'
        self._write("environment/bin/sha256sum", f"#!/bin/sh\n{checks}\n")
        self._write("environment/bin/sleep", "#!/bin/sh\nexec /usr/bin/sleep 0.01\n")  # the script looks every second

    def set_driver(self, driver: int | None) -> None:
        self._write("site/sitecustomize.py", f"DRIVER = {driver}\n{DRIVER}")

    def build(self, *options: str, **environment: str) -> subprocess.CompletedProcess:
        kept = {"PATH": f"{self.tools}:/usr/bin:/bin", "HOME": str(self.folder)}
        kept["HOROVOD_OCR_CACHE"] = str(self.folder / "cache")
        command = ["/bin/bash", str(SCRIPT), *options, str(self.tools / "python")]
        return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, timeout=60)

    def wheel(self) -> str:
        (wheel,) = (self.folder / "cache").glob("*.whl")
        return wheel.name

    def commands(self) -> list[str]:
        return (self.record / "commands").read_text().splitlines()

    def compile_environment(self) -> dict[str, str]:
        lines = (self.record / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


@pytest.mark.slow
def test_nccl_is_built_with_nvcc_from_pypi_and_the_nccl_of_torch(tmp_path):
    machine = Machine(tmp_path, driver=13000)
    built = machine.build()
    assert built.returncode == 0, built.stderr
    assert re.match(r"horovod-0\.28\.1\+torch2\.13\.0\.mpi\.nccl\.p[0-9a-f]{8}-cp", machine.wheel())
    (fetched,) = (command for command in machine.commands() if "cuda-toolkit" in command)
    assert fetched.endswith("cuda-toolkit[nvcc,cccl,cudart]==13.0.*")
    compile_environment = machine.compile_environment()
    home = compile_environment["HOROVOD_CUDA_HOME"]
    assert compile_environment["HOROVOD_GPU_OPERATIONS"] == "NCCL"
    assert compile_environment["CUDA_HOME"] == home
    assert compile_environment["HOROVOD_NCCL_HOME"] == f"{home}/nccl"
    assert compile_environment["HOROVOD_NCCL_LINK"] == "SHARED"
    assert (machine.record / "nvcc").read_text().strip() == f"{home}/bin/nvcc"
    assert set((machine.record / "cuda_home").read_text().split()) >= {
        "./bin/nvcc",
        "./bin/ptxas",
        "./nvvm/bin/cicc",
        "./include/cuda_runtime.h",
        "./include/cccl/cub.h",
        "./lib64/libcudart.so",
        "./lib64/libcudart_static.a",
        "./lib64/libcudadevrt.a",
        "./lib/libcudart.so",
        "./nccl/lib/libnccl.so",
        "./nccl/include/nccl.h",
    }
    assert not Path(home).exists(), "the toolkit was temporary"


@pytest.mark.slow
def test_a_second_run_only_reports(tmp_path):
    machine = Machine(tmp_path, driver=13000)
    machine.build()
    (machine.record / "commands").unlink()
    again = machine.build()
    assert again.returncode == 0, again.stderr
    assert machine.commands() == ["-", "-"]
    assert again.stdout == "horovod: built in: gloo yes, mpi yes, nccl no\n"  # as the fake package answers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cuda", "driver", "options", "environment", "is_chosen"),
    [
        ("13.0", 13000, [], {}, True),
        ("13.0", None, [], {}, False),
        (None, 13000, [], {}, False),
        (None, None, [], {}, False),
        ("13.0", 13000, ["--no-nccl"], {}, False),
        ("13.0", 13000, [], {"HOROVOD_GPU_OPERATIONS": "none"}, False),
        ("13.0", 13000, ["--no-nccl"], {"HOROVOD_GPU_OPERATIONS": "NCCL"}, False),
        ("13.0", None, ["--nccl"], {}, True),
        ("13.0", None, [], {"HOROVOD_GPU_OPERATIONS": "NCCL"}, True),
        ("13.0", None, ["--nccl"], {"HOROVOD_GPU_OPERATIONS": "none"}, True),
    ],
)
def test_nccl_is_chosen_by_torch_and_driver_unless_one_says_otherwise(
    tmp_path, cuda, driver, options, environment, is_chosen
):
    machine = Machine(tmp_path, cuda=cuda, driver=driver)
    built = machine.build(*options, **environment)
    assert built.returncode == 0, built.stderr
    assert (".mpi.nccl.p" in machine.wheel()) == is_chosen
    assert machine.compile_environment().get("HOROVOD_GPU_OPERATIONS") == ("NCCL" if is_chosen else None)
    assert any("cuda-toolkit" in command for command in machine.commands()) == is_chosen
    assert ("no NVIDIA driver is here; --nccl builds it all the same" in built.stderr) == (
        cuda is not None and driver is None and not is_chosen
    )


@pytest.mark.slow
def test_a_driver_that_comes_later_asks_for_another_wheel(tmp_path):
    machine = Machine(tmp_path)
    machine.build()
    without = machine.wheel()
    machine.set_driver(13000)
    assert machine.build().returncode == 0
    wheels = {path.name for path in (tmp_path / "cache").glob("*.whl")}
    assert without in wheels and len(wheels) == 2
    machine.set_driver(None)
    back = machine.build()
    assert f"taken from the cache: {tmp_path}/cache/{without}" in back.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (13000, None),
        (13010, None),
        (
            12080,
            "torch 2.13.0 is built for CUDA 13.0, but this machine's NVIDIA driver supports CUDA 12.8 at most, "
            "so torch cannot use the GPU; install driver 580 or newer (for Turing GPUs and newer)",
        ),
    ],
)
def test_a_driver_that_is_too_old_is_said_and_the_build_goes_on(tmp_path, driver, said):
    machine = Machine(tmp_path, driver=driver)
    built = machine.build()
    assert built.returncode == 0
    assert [line for line in built.stderr.splitlines() if "driver" in line] == ([f"horovod: {said}"] if said else [])
    assert ".nccl." in machine.wheel()


def test_nccl_without_cuda_in_torch_is_refused(tmp_path):
    refused = Machine(tmp_path, cuda=None, driver=13000).build("--nccl")
    assert refused.returncode == 2
    assert "NCCL needs a CUDA build of torch, and torch 2.13.0 of" in refused.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_nccl_with_another_cuda_than_that_of_the_wheels_is_refused_unless_a_toolkit_is_named(tmp_path):
    machine = Machine(tmp_path, has_wheels=False, driver=13000)
    for options in (["--nccl"], []):
        refused = machine.build(*options)
        assert refused.returncode == 2
        assert "does not come with PyPI's wheels of CUDA 13 and NCCL" in refused.stderr
    built = machine.build(HOROVOD_CUDA_HOME=str(tmp_path), HOROVOD_NCCL_HOME="/opt/nccl")
    assert built.returncode == 0, built.stderr
    assert machine.compile_environment()["CUDA_HOME"] == str(tmp_path)
    assert machine.compile_environment()["HOROVOD_NCCL_HOME"] == "/opt/nccl"
    assert not any("cuda-toolkit" in command for command in machine.commands())


def test_other_gpu_operations_than_nccl_are_refused(tmp_path):
    refused = Machine(tmp_path).build(HOROVOD_GPU_OPERATIONS="MPI")
    assert refused.returncode == 2
    assert "HOROVOD_GPU_OPERATIONS=MPI is not supported; there are NCCL and none" in refused.stderr


def test_a_python_that_is_not_there_is_named_and_help_is_the_header():
    gone = subprocess.run(["bash", SCRIPT, "/no/such/python"], capture_output=True, text=True, timeout=60)
    assert (gone.returncode, gone.stderr) == (2, "horovod: /no/such/python is not there; run: make setup\n")
    helped = subprocess.run(["bash", SCRIPT, "--help"], capture_output=True, text=True, timeout=60)
    assert helped.returncode == 0 and "--no-nccl" in helped.stdout and "set -e" not in helped.stdout
