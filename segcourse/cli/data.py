"""`segcourse data`: which data are here; look at a folder of your own, and mend it."""

import io
import shlex
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import data_set
from segcourse.cli.base import fail, in_commands, progress, table

_SHOWN = 6  # pictures on the sheet
_MARK = "segcourse data check"  # in the PNG: this command wrote it and may write it anew

FolderArgument = Annotated[
    Path,
    typer.Argument(
        exists=True,
        file_okay=False,
        metavar="FOLDER",
        help="A folder with images/, masks/ and classes.txt; `segcourse data list` names the page about "
        "other layouts.",
    ),
]


def data_list() -> None:
    """Every data set: what it is, its size on disk, and where it is.

    Example: segcourse data list
    """
    from segcourse.datasets.table import TABLE
    from segcourse.paths import data_file

    table(("name", "what", "splits here", "on disk", "where"), map(_data_row, TABLE.values()))
    typer.echo("A folder of your own works as well: segcourse data check FOLDER.")
    typer.echo(f"What it may look like: {data_file('folder.md')}")


def _data_row(row):
    from segcourse.paths import cache_folder

    what, here = "{}, {}x{}, {} classes".format(row.about, *row.size, len(row.spec)), row.here()
    if not here:
        return row.name, what, f"not here: segcourse data get {row.name}", "0 MB", "-"
    folder = cache_folder() if row.drawn else row.module.folder(here[0])
    files = list(folder.glob(f"{row.name}-*.npz" if row.drawn else "*/*.png"))
    disk = f"{sum(file.stat().st_size for file in files) / 1e6:.0f} MB"
    return row.name, what, ", ".join(here), disk, str(folder) if files else "-"


def data_get(
    name: Annotated[str, typer.Argument(parser=data_set, metavar="NAME")],
) -> None:
    """Fetch a data set into the cache folder (SEGCOURSE_DATA); run it again to continue a broken download.

    Example: segcourse data get camvid
    """
    from segcourse import datasets
    from segcourse.datasets.table import TABLE

    if TABLE[name].drawn:
        for split in TABLE[name].splits:
            count = len(datasets.load(name, split)[0])
            typer.echo(f"{name} {split}: {count} scenes in {datasets.cache_folder()}")
        return
    typer.echo(f"{name} is complete in {datasets.fetch(name)}")


def data_check(
    folder: FolderArgument,
    picture: Annotated[
        Path | None,
        typer.Option(dir_okay=False, metavar="FILE", help="The sheet; by default FOLDER-check.png, here."),
    ] = None,
) -> None:
    """Look at a folder of your own: a table of pictures, sizes and classes, and a sheet with masks laid over.

    The exit code is 1 if something would stop a training.

    Example: segcourse data check my_data
    """
    from segcourse.datasets import inspection

    report = inspection.inspect(folder, pictures=True, watch=partial(progress, what="check"))
    rows = [(f"pictures, {split}", str(count), "") for split, count in report.splits.items()]
    sizes = report.sizes.most_common(3)
    more = f", and {len(report.sizes) - 3} more sizes" if len(report.sizes) > 3 else ""
    rows.append(("height x width", ", ".join(f"{h}x{w} ({n})" for (h, w), n in sizes) + more, ""))
    table(("folder", str(folder), "in pictures"), rows + list(_class_rows(report)))
    sheet = picture or Path(f"{folder.resolve().name}-check.png")
    if _write_sheet(report, sheet):
        typer.echo(f"Look at {sheet}: do the masks lie on what they name?")
    for finding in report.findings:
        text = in_commands(str(finding))
        fail(text) if finding.stops else typer.secho(f"note: {text}", fg="yellow")
    if any(finding.mends for finding in report.findings):
        typer.echo(f"A mended copy: {inspection.fix_command(folder)}")
    if not report.findings:
        typer.echo("Nothing is wrong.")
    raise typer.Exit(1 if report.errors else 0)


def _class_rows(report):
    """Share of the pixels and number of pictures of every class, of void, and of values that are neither."""
    total = sum(report.pixels.values()) or 1
    names = dict(enumerate(report.spec.classes)) | {255: "void"}
    for value in sorted({*range(len(report.spec)), *list(report.pixels)[:20]}):
        name, pixels = names.get(value, "no class"), report.pixels.get(value, 0)
        yield f"{value} {name}", f"{100 * pixels / total:.2f} %", str(report.pictures[value])


def _write_sheet(report, path):
    """Whether the sheet could be drawn; refuses to replace a file of another origin."""
    from PIL import Image, PngImagePlugin

    from segcourse.plotting.sheets import sheet

    pairs = report.examples(_SHOWN)
    if not pairs:
        return False
    if path.exists() and not _is_ours(path):
        raise typer.BadParameter(f"{path} is there and not from this command. Give another --picture FILE.")
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", _MARK)
    Image.open(io.BytesIO(sheet(pairs, report.spec))).save(path, "PNG", pnginfo=mark, optimize=True)
    return True


def _is_ours(path):
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == _MARK
    except OSError:
        return False


def data_fix(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option(metavar="NEW", help="A new folder for the copy.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OLD=NEW", help="Old and new id, instead of a guess; repeatable."),
    ] = None,
    turn: Annotated[
        bool, typer.Option("--turn", help="Turn all masks as the EXIF entries turn their pictures.")
    ] = False,
) -> None:
    """Write a copy with right masks: 255 to 1, ids from 1 to ids from 0, colours to ids, other sizes resized.

    The folder itself stays as it is.

    Example: segcourse data fix my_data --out my_data-fixed
    """
    from segcourse.datasets import repair

    done = repair.fix(folder, out, dict(map(_id_pair, mapping or ())), turn, partial(progress, what="fix"))
    if not done:
        typer.echo(f"Nothing to mend in {folder}; nothing was written.")
        return
    for line in repair.describe(done):
        typer.echo(line)
    typer.echo(f"next: segcourse data check {shlex.quote(str(out))}")


def _id_pair(text):
    old, equals, new = text.partition("=")
    if not (equals and old.isdecimal() and new.isdecimal() and int(new) <= 255):
        raise typer.BadParameter(f"--map {text!r} is not OLD=NEW with ids, for example 255=1.")
    return int(old), int(new)
