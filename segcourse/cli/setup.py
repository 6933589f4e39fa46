"""Is the machine ready, and which data are here?"""

from typing import Annotated

import typer

from segcourse.cli.arguments import data_set
from segcourse.cli.base import table


def doctor() -> None:
    """Is this machine ready? Prints OK or FAIL with the fix.

    Example: segcourse doctor
    """
    from segcourse import doctor

    raise typer.Exit(doctor.main())


def data_list() -> None:
    """Every data set: what it is, its size on disk, and where it is.

    Example: segcourse data list
    """
    from segcourse.datasets.table import TABLE

    table(("name", "what", "splits here", "on disk", "where"), map(_data_row, TABLE.values()))
    typer.echo("A folder of your own works as well: see data/folder.md.")


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
