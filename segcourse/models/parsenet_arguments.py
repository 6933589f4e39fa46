"""What `segcourse.models.parsenet.parsenet` accepts, and a clear error for everything else."""

from __future__ import annotations

from collections.abc import Sequence

FUSED = ("fc7", "conv5", "conv4", "conv3")
NORMALIZATIONS = ("l2", "none")
FUSIONS = ("late", "early")


def check_arguments(
    input_shape: Sequence[int | None],
    fuse: Sequence[str],
    normalization: str,
    fusion: str,
    rate: int,
    weights: str | None,
) -> None:
    """Refuse arguments of a ParseNet that do not fit; they are described there.

    Raises:
        ValueError: says what was given and what is needed.
    """
    if any(side is not None and side < 32 for side in input_shape[:2]):
        raise ValueError(
            f"parsenet got {input_shape}: both sides must be at least 32, for its scores are 8 pixels apart."
        )
    if not fuse or isinstance(fuse, str) or set(fuse) - set(FUSED) or len(set(fuse)) < len(fuse):
        raise ValueError(f"fuse={fuse!r}: give a tuple with one or more of {', '.join(FUSED)}, each once.")
    for name, value, known in (
        ("normalization", normalization, NORMALIZATIONS),
        ("fusion", fusion, FUSIONS),
        ("weights", weights, (None, "imagenet")),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown: {' or '.join(map(repr, known))}.")
    if rate < 1:
        raise ValueError(f"rate={rate} does not fit: a whole number from 1 up.")
