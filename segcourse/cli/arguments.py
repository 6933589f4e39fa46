"""Arguments and options that several commands have, and how they are read."""

import ast
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer


def read_size(text: str) -> tuple[int, int]:
    """The option HxW as (height, width)."""
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise typer.BadParameter(f"{text!r} is no size. Give height x width in pixels, for example 96x128.")
    return int(height), int(width)


def choice(known: Iterable[str]) -> Callable[[str], str]:
    """A parser that takes one of the known words."""

    def parse(text):
        if text not in known:
            raise typer.BadParameter(f"there is no {text!r}. Choose from {', '.join(known)}.")
        return text

    return parse


def data_set(text: str) -> str:
    """The name of a known data set."""
    from segcourse import datasets

    return choice(datasets.names())(text)


def key_value(text: str) -> tuple[str, Any]:
    """The option KEY=VALUE as a pair; the value is a Python literal, or else text."""
    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals and value):
        raise typer.BadParameter(f"--option {text!r} is not KEY=VALUE, for example padding=same.")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


def import_module(name: str) -> str:
    """Import a Python module, for the layers that it registers with Keras, from this folder or installed.

    Raises:
        typer.BadParameter: there is none of this name, or it fails.
    """
    from segcourse.cli.base import quiet_import

    quiet_import()
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        __import__(name)  # `importlib.import_module` is for the package's own, which digests follow
    except ModuleNotFoundError as error:
        hint = " Give the name without .py." if name.endswith(".py") else ""
        raise typer.BadParameter(f"--import {name}: {error}, in {Path.cwd()} or installed.{hint}") from error
    except Exception as error:  # whatever the user's own code does
        raise typer.BadParameter(f"--import {name}: {type(error).__name__}: {error}") from error
    return name


Data = Annotated[str, typer.Option(help="A data set's name, or a folder with images/, masks/, classes.txt.")]
Size = Annotated[
    str | None, typer.Option(parser=read_size, metavar="HxW", help="Resize everything to height x width.")
]
ModelFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A .keras or .tflite file.", metavar="MODEL")
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        parser=import_module,
        metavar="MODULE",
        help="Python module to import first, from this folder or installed, with the model's own layers.",
    ),
]
