"""Checks of arguments that several networks take; each error says what was got and what is needed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def check_known(given: Mapping[str, Any], known: Mapping[str, Collection]) -> None:
    """Raise a `ValueError` that lists the known values unless each value in `given` is one of its name's."""
    for name, value in given.items():
        if value not in known[name]:
            raise ValueError(f"{name}={value!r} is unknown: {', '.join(map(repr, known[name]))}.")


def check_sides(network: str, input_shape: Sequence[int | None], why: str) -> None:
    """Raise a `ValueError` that says `why` unless both sides in `input_shape` are 32 or more, or None."""
    if any(side is not None and side < 32 for side in input_shape[:2]):
        raise ValueError(
            f"{network} got {tuple(input_shape)}: both sides must be at least 32, for {why}. Give larger "
            "images, or enlarge them."
        )


def check_above_zero(given: Mapping[str, Collection[float]]) -> None:
    """Raise a `ValueError` unless each collection in `given` has one or more numbers, all above 0."""
    for name, values in given.items():
        if not values or any(value <= 0 for value in values):
            raise ValueError(f"{name}={values} do not fit: one or more numbers above 0.")
