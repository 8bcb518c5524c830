"""Every command: parse, call, print. No logic.

Torch and what imports it are imported inside the commands, so that `--help` and `shard` do not wait for it.
"""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from horovod_ocr import __version__
from horovod_ocr.cli.audit import audit
from horovod_ocr.cli.doctor import doctor
from horovod_ocr.cli.encoding import ensure_utf8
from horovod_ocr.cli.eval import evaluate
from horovod_ocr.cli.export import export
from horovod_ocr.cli.launch import TAKES_MORE, launch
from horovod_ocr.cli.page import page
from horovod_ocr.cli.plan import plan
from horovod_ocr.cli.predict import predict
from horovod_ocr.cli.runs import runs
from horovod_ocr.cli.scaling import scaling
from horovod_ocr.cli.sentence import one_sentence, show_tracebacks
from horovod_ocr.cli.serve import serve
from horovod_ocr.cli.shard import shard
from horovod_ocr.cli.show import show
from horovod_ocr.cli.stats import stats
from horovod_ocr.cli.synth import synth
from horovod_ocr.cli.train import train
from horovod_ocr.cli.verify import verify

# in the order of the data path; --help lists them so
COMMANDS: dict[str, Callable[..., None]] = {
    "synth": synth,
    "audit": audit,
    "shard": shard,
    "verify": verify,
    "stats": stats,
    "show": show,
    "plan": plan,
    "doctor": doctor,
    "launch": launch,
    "train": train,
    "runs": runs,
    "scaling": scaling,
    "eval": evaluate,
    "export": export,
    "predict": predict,
    "serve": serve,
    "page": page,
}

app = typer.Typer(
    help="Train recognisers of word images on several machines: shard, train under horovodrun, eval, predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would take [default: ...] for markup
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in COMMANDS.items():
    more: dict[str, Any] = TAKES_MORE if command is launch else {}
    app.command(name, **more)(command)


def main() -> None:
    ensure_utf8()
    try:
        with one_sentence():  # for what is printed outside of a command: --help
            app(prog_name="horovod-ocr")
    except typer.Exit as end:
        sys.exit(end.exit_code)


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"horovod-ocr {__version__}")
        raise typer.Exit()


Version = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and leave.")
]


@app.callback()
def choose_debug(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Version = False,
) -> None:
    show_tracebacks(debug)
