"""What the networks of the lessons accept: a function each, and a clear error for everything else."""

from collections.abc import Mapping, Sequence

from segcourse.arguments import check_known, check_sides
from segcourse.layers.valid_size import check_valid_size

PADDINGS = ("valid", "same")
WEIGHTS = (None, "imagenet")  # None: from scratch
FUSED = ("fc7", "conv5", "conv4", "conv3")  # what ParseNet can score
NORMALIZATIONS = ("l2", "none")
FUSIONS = ("late", "early")
JOINS, LINKS = ("add", "concat"), (0, 1, 2, 3, 4)  # of LinkNet's bypasses: how, and how many


def check_fcn(
    name: str, input_shape: Sequence[int | None], padding: str, fc6_size: int, weights: str | None
) -> None:
    """Raise a `ValueError` unless the arguments are as `fcn32s` says; `name` is the network's."""
    check_known({"padding": padding, "weights": weights}, {"padding": PADDINGS, "weights": WEIGHTS})
    check_sides(name, input_shape, "its output has stride 32 before upsampling")
    if padding == "same" and fc6_size % 2 == 0:
        raise ValueError(f'fc6_size={fc6_size} has no middle: with padding="same" it must be odd.')


def check_deeplab_v1(
    input_shape: Sequence[int | None],
    variant: str,
    variants: Mapping[str, tuple[int, int, int]],
    rate: int | None,
    multiscale: bool,
    weights: str | None,
) -> None:
    """Raise a `ValueError` unless the arguments are as `deeplab_v1` says; `variants` are those it has."""
    check_sides("deeplab_v1", input_shape, "its scores are 8 pixels apart and look at far more")
    check_known({"variant": variant, "weights": weights}, {"variant": variants, "weights": WEIGHTS})
    even = variants[variant][0] % 2 == 0
    if rate is not None and (rate < 1 or (even and rate % 2)):
        need = "an even number from 2 up, for its kernel is even" if even else "a whole number from 1 up"
        raise ValueError(f"rate={rate} does not fit variant={variant!r}: {need}.")
    if multiscale and variant != "largefov":
        raise ValueError(
            f'multiscale=True needs variant="largefov", got {variant!r}: only there do the maps '
            "of all branches have the same size."
        )


def check_unet(
    input_shape: Sequence[int | None], padding: str, normalization: str | None, levels: int = 4
) -> None:
    """Raise a `ValueError` unless the arguments are as `unet` says; `levels` is the number of poolings."""
    given = {"padding": padding, "normalization": normalization}
    check_known(given, {"padding": PADDINGS, "normalization": (None, "batch")})
    if padding == "valid":
        check_valid_size(input_shape[:2], levels)
    else:
        check_sides("unet", input_shape, f"its {levels} poolings halve the image again and again")


def check_parsenet(
    input_shape: Sequence[int | None],
    fuse: Sequence[str],
    normalization: str,
    fusion: str,
    rate: int,
    weights: str | None,
) -> None:
    """Raise a `ValueError` unless the arguments are as `parsenet` says."""
    check_sides("parsenet", input_shape, "its scores are 8 pixels apart")
    if not fuse or isinstance(fuse, str) or set(fuse) - set(FUSED) or len(set(fuse)) < len(fuse):
        raise ValueError(f"fuse={fuse!r}: give a tuple with one or more of {', '.join(FUSED)}, each once.")
    given = {"normalization": normalization, "fusion": fusion, "weights": weights}
    check_known(given, {"normalization": NORMALIZATIONS, "fusion": FUSIONS, "weights": WEIGHTS})
    if rate < 1:
        raise ValueError(f"rate={rate} does not fit: a whole number from 1 up.")


def check_linknet(input_shape: Sequence[int | None], join: str, links: int) -> None:
    """Raise a `ValueError` unless the arguments are as `linknet` says."""
    check_sides("linknet", input_shape, "its last maps have a 32nd of them")
    check_known({"join": join, "links": links}, {"join": JOINS, "links": LINKS})
