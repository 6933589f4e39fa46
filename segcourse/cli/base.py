"""The application itself, and how its commands speak: errors in one line, tables, no foreign log."""

import logging
import os
import re
import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from typer.core import TyperGroup

LONGEST_MESSAGE = 600


class _Commands(TyperGroup):
    """Turns what goes wrong into one line on stderr and exit code 1, unless a traceback is asked for."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except Exception as error:
            # What Typer itself raises (bad use, exit, abort) carries its exit code.
            if ctx.params["debug"] or hasattr(error, "exit_code") or isinstance(error, typer.Abort):
                raise
            from segcourse.runs import BadRequest

            if isinstance(error, BadRequest):
                raise typer.BadParameter(in_commands(str(error))) from error
            fail(one_line(error))
            raise typer.Exit(1) from error


# What the package says to those who call it from Python, and how the command line says it.
_IN_COMMANDS = {
    "size=(height, width)": "--size HxW",
    "Use mask = (mask > 127).astype('uint8').": "`segcourse data fix` writes 0 and 1.",
    "go without a card": "give --no-card",
    "with convert()": "with segcourse export",
    "Convert with output='logits'": "Export with --output logits",
    "segcourse.datasets.labels.check_masks tells": "segcourse data check tells",
    " The weights in memory are useless now: build the model again.": "",
}


_PYTHON_ALONE = re.compile(r" \(in Python: (?:[^()]|\([^()]*\))*\)")


def in_commands(text: str) -> str:
    """A message of the package in the words of the command line, on one line."""
    text = _PYTHON_ALONE.sub("", text)
    for python, command in _IN_COMMANDS.items():
        text = text.replace(python, command)
    return " ".join(text.split())


def one_line(error: Exception) -> str:
    """What went wrong, for stderr."""
    text = in_commands(str(error))
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, ValueError | OSError | ArithmeticError | RuntimeError | ImportError):
        return (
            text
            if len(text) < LONGEST_MESSAGE
            else f"{text[:LONGEST_MESSAGE]} ... (all of it: segcourse --debug)"
        )
    return f"{type(error).__name__}: {text[:LONGEST_MESSAGE]} (segcourse --debug ... shows where)"


def quiet_import() -> None:
    """Import TensorFlow without the log that it writes straight to file descriptor 2 while it starts."""
    # Images of many sizes need many traces, which is no news here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def fail(text: object) -> None:
    """Say on stderr what went wrong."""
    typer.secho(f"error: {text}", err=True, fg="red")


def progress(items: Iterable, what: str) -> Iterable:
    """The items, with a bar on stderr where that is a terminal."""
    from tqdm.auto import tqdm

    return tqdm(items, desc=what, unit="image", disable=not sys.stderr.isatty())


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print rows under their heads; square brackets in them are text, and no markup."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    shown = Table(*(Column(Text(head), overflow="fold") for head in heads))
    for row in rows:
        shown.add_row(*map(Text, row))
    Console().print(shown)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, help="List the data sets, fetch one, check or mend a folder.")
app.add_typer(data_app, name="data")


def _version(wanted: bool):
    if wanted:
        from segcourse import __version__

        typer.echo(f"segcourse {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SEGCOURSE_DEBUG", help="Show the traceback of a failure.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
):
    """Semantic segmentation, network by network: train, score, predict, and ship to a phone.

    Every command has its own --help with an example.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
