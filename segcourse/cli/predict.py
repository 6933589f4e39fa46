"""Label pictures with a model."""

import re
from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import Imports, ModelFile, read_size
from segcourse.cli.base import fail, progress, quiet_import

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp"
)  # fmt: skip
UNREADABLE = re.compile(r"\.(heic|heif|avif|dng|cr2|cr3|nef|arw|raw|jxl)", re.IGNORECASE)


def _size_or_own(text):
    return text if text == "own" else read_size(text)


def predict(
    model: ModelFile,
    images: Annotated[Path, typer.Argument(exists=True, help="An image, or a folder of them.")],
    out: Annotated[Path, typer.Option(file_okay=False, metavar="FOLDER", help="Where the results go.")],
    classes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Class list; by default the file's own, or classes.json beside it.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            parser=_size_or_own,
            metavar="HxW|own",
            help="Bring pictures to height x width, and the labels back; own: label them as they are. By "
            "default what the run was trained with.",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(metavar="SIDE", help="Cut larger pictures into tiles; by default from 2 megapixels on."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also replace files in FOLDER that predict did not write.")
    ] = False,
    modules: Imports = None,
) -> None:
    """Label images of any size: class ids as palette PNGs in FOLDER/labels, pictures in FOLDER/overlay.

    A file that cannot be labelled is named at the end and makes the exit code 1; the others are done.

    Example: segcourse predict runs/fcn8s/model.keras holiday/ --out labelled/
    """
    paths, left_out = _image_files(images)
    quiet_import()
    from segcourse import runs
    from segcourse.datasets import DataError

    todo = runs.jobs(paths, out)
    replaced = runs.check_targets(todo, force)
    label = _labeller(model, size, tile)
    spec = runs.classes_of(model, label.classes, classes)
    if not (classes or runs.remembered(model).classes):
        typer.echo(f"There is no class list beside {model}: names and colours are those of {spec.name}.")
    if replaced:
        typer.echo(f"--force replaces {len(replaced)} file(s): {', '.join(map(str, replaced))}")
    notes, failures = [], []
    for job in progress(todo, "predict"):
        try:
            runs.label_file(job, label, spec, notes.append)
        except DataError as error:
            failures.append(error)
    for line in notes:
        typer.echo(line)
    typer.echo(f"{len(paths) - len(failures)} of {len(paths)} images labelled in {out}")
    if left_out:
        typer.echo(f"left out, no pictures by their names: {', '.join(path.name for path in left_out)}")
    if folders := _folders(images):
        typer.echo(f"left out, folders: {', '.join(folders)}. Give one of them for the pictures in it.")
    for error in failures:
        fail(error)
    raise typer.Exit(1 if failures else 0)


def _labeller(model, size, tile):
    """The `Labeller`, and a line that says at which size it works."""
    from segcourse import runs

    remembered = runs.remembered(model)
    trained = "{}x{}".format(*remembered.size) if remembered.size else ""
    asked = None if size == "own" else size
    only = model.suffix == ".tflite"  # such a file has one size
    if size is None and remembered.resized and not only:
        asked = remembered.size
        typer.echo(f"Pictures are brought to {trained}, as in training, and labels back; or give --size own.")
    label = runs.Labeller(model, asked, tile)
    if label.size and label.size != asked:
        typer.echo("The model takes {}x{} only: images are resized to it, labels back.".format(*label.size))
    elif trained and not label.size:
        typer.echo(f"Pictures keep their own size; those of the training had {trained} (--size {trained}).")
    return label


def _image_files(path):
    """The pictures to label, and the files that are left out."""
    if path.is_file():
        return [path], []
    files = [file for file in sorted(path.iterdir()) if _is_meant(file)]
    pictures = [file for file in files if _is_picture(file)]
    if not pictures:
        inside = _folders(path)
        where = f" It has folders ({', '.join(inside[:5])}): give one of them." if inside else ""
        raise typer.BadParameter(f"{path} has no image in it ({', '.join(IMAGE_SUFFIXES)}).{where}")
    return pictures, [file for file in files if file not in set(pictures)]


def _folders(path):
    """The names of the folders in a folder; none where `path` is a picture."""
    children = sorted(path.iterdir()) if path.is_dir() else []
    return [child.name for child in children if child.is_dir() and not child.name.startswith(".")]


def _is_meant(file):
    """Hidden files are no pictures: macOS leaves `._photo.jpg` beside `photo.jpg`. A broken link is meant."""
    return not file.name.startswith(".") and (file.is_file() or file.is_symlink()) and not file.is_dir()


def _is_picture(file):
    return file.suffix.lower() in IMAGE_SUFFIXES or UNREADABLE.fullmatch(file.suffix)
