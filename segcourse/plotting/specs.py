"""Data sets by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segcourse.datasets.labels import LabelSpec


def spec_of(spec: LabelSpec | str) -> LabelSpec:
    """The `LabelSpec` itself, or that of a data set by its name.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(spec, str):
        from segcourse.datasets import labels  # not needed by those who bring their own spec

        return labels.get(spec)
    if not hasattr(spec, "colorize"):
        raise ValueError(f'spec must be a LabelSpec or a name such as "camvid", got {spec!r}.')
    return spec
