"""Arguments of the networks that begin with VGG16: each error says what was got and what is needed."""

from collections.abc import Mapping, Sequence


def check_fcn(name: str, input_shape: Sequence, padding: str, fc6_size: int, weights: str | None) -> None:
    """Raise a `ValueError` unless the arguments are as `fcn32s` says; `name` is the network's."""
    if padding not in ("valid", "same"):
        raise ValueError(f'padding="{padding}" is unknown: "valid" (the paper) or "same".')
    _check_sides(name, input_shape, "its output has stride 32 before upsampling")
    if padding == "same" and fc6_size % 2 == 0:
        raise ValueError(f'fc6_size={fc6_size} has no middle: with padding="same" it must be odd.')
    _check_weights(weights)


def check_deeplab_v1(
    input_shape: Sequence,
    variant: str,
    variants: Mapping[str, tuple[int, int, int]],
    rate: int | None,
    multiscale: bool,
    weights: str | None,
) -> None:
    """Raise a `ValueError` unless the arguments are as `deeplab_v1` says; `variants` are those it has."""
    _check_sides("deeplab_v1", input_shape, "its scores are 8 pixels apart and look at far more")
    if variant not in variants:
        raise ValueError(f"variant={variant!r} is unknown: {', '.join(variants)}.")
    even = variants[variant][0] % 2 == 0
    if rate is not None and (rate < 1 or (even and rate % 2)):
        need = "an even number from 2 up, for its kernel is even" if even else "a whole number from 1 up"
        raise ValueError(f"rate={rate} does not fit variant={variant!r}: {need}.")
    if multiscale and variant != "largefov":
        raise ValueError(
            f'multiscale=True needs variant="largefov", got {variant!r}: only there do the maps '
            "of all branches have the same size."
        )
    _check_weights(weights)


def _check_sides(name, input_shape, why):
    if any(side is not None and side < 32 for side in input_shape[:2]):
        raise ValueError(f"{name} got {input_shape}: both sides must be at least 32, for {why}.")


def _check_weights(weights):
    if weights not in (None, "imagenet"):
        raise ValueError(f'weights="{weights}" is unknown: None (from scratch) or "imagenet".')
