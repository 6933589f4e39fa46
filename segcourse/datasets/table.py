"""The data sets in one table: a new one is a row here, a module of its name, and a card ``data/NAME.md``.

Nothing here draws, reads or fetches pictures, so that listing stays quick. Each module has ``SPLITS`` and
``load(split, size)``; that of a downloaded set also ``available(split)``, ``folder(split)`` and
``download(progress)``.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType

from segcourse.datasets.labels import CAMVID, CELLS, MEMBRANES, LabelSpec


@dataclass(frozen=True)
class DataSet:
    """What can be said of a data set before it is loaded.

    Args:
        name: for `load`; its module and its card are called the same.
        about: what it shows, in a few words.
        splits: the names that its module takes.
        size: (height, width) of the pictures unless another is asked for.
        channels: 3 for colour; 1 for grey, which `load` gives as three equal channels.
        spec: class names and colours.
        drawn: by this project's own code, on the machine where it is used; else it is downloaded.
    """

    name: str
    about: str
    splits: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    spec: LabelSpec
    drawn: bool

    @property
    def module(self) -> ModuleType:
        """Its module, imported with the first use."""
        return importlib.import_module(f"segcourse.datasets.{self.name}")

    def here(self) -> tuple[str, ...]:
        """The splits that can be loaded without a download."""
        return tuple(split for split in self.splits if self.drawn or self.module.available(split))

    @property
    def card(self) -> str:
        """Where it is described, as a path in the repository."""
        return f"data/{self.name}.md"


_ROWS = (
    DataSet("toycam", "procedural streets", ("train", "val", "test"), (96, 128), 3, CAMVID, drawn=True),
    DataSet("camvid", "street photographs", ("train", "val", "test"), (360, 480), 3, CAMVID, drawn=False),
    DataSet("cells", "procedural touching cells", ("train", "val", "test"), (128, 128), 1, CELLS, drawn=True),
    DataSet("isbi2012", "electron micrographs", ("train", "val"), (512, 512), 1, MEMBRANES, drawn=False),
)

TABLE = {row.name: row for row in _ROWS}
