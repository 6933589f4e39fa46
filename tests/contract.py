"""What every registered network must do, whoever wrote it. `test_contract.py` runs it over `CASES`.

A new architecture adds its `Case` here; its own test file then holds only what is special about the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from inspect import signature

import keras
import numpy as np
from helpers import logits_of, noise, randomize

from segcourse import datasets, models, training
from segcourse.datasets import toycam
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.crf_rnn import without_crf

CLASSES = len(datasets.spec("toycam"))
SIZE = (96, 128)


@dataclass(frozen=True)
class Case:
    """A network and what is known about it.

    Attributes:
        name: its name in `segcourse.models.MODELS`.
        small: build arguments for a network that two CPU cores train in seconds.
        parameters: trainable weights of the default configuration; None in a second case of a name.
        variant: tells several cases of one network apart.
        minimum: the smallest side that it promises to take; a smaller one is an error.
        sizes: (height, width) pairs to try: the minimum, odd, non-square.
        size: the (height, width) of all other tests.
        margin: pixels that convolutions without padding take from each side of the image.
        learning_rate, steps: of Adam, enough to learn one image by heart.
        accuracy: the pixel accuracy that it reaches then; lower only for a network that cannot draw finely.
        channels: other numbers of image channels that it must take; none where it compares colors.
        not_on_gpu: why a mobile GPU does not take it whole, in words of `tflite.inspect`; empty if it does.
        not_converted: an operator that TFLite does not have, if so: then only its `part_for_phone` can be a
            file.
        part_for_phone: function from the network to what its TFLite file holds.
    """

    name: str
    small: dict = field(hash=False)
    parameters: int | None = None
    variant: str = ""
    minimum: int = 32
    sizes: tuple = ((32, 32), (33, 47), (64, 45), (97, 131))
    size: tuple = SIZE
    margin: int = 0
    learning_rate: float = 3e-3
    steps: int = 80
    accuracy: float = 0.95
    channels: tuple = (1, 4)
    not_on_gpu: str = ""
    not_converted: str = ""
    part_for_phone: Callable = field(default=lambda model: model, hash=False)

    @property
    def id(self):
        return f"{self.name}-{self.variant}" if self.variant else self.name

    def output(self, size):
        """Height and width of the logits for images of this size."""
        return tuple(side - 2 * self.margin for side in size)

    def build(self, size=(None, None), **arguments):
        return models.build(
            self.name, **{"input_shape": (*size, 3), "classes": CLASSES, **self.small, **arguments}
        )


PAPER = {"width": 1 / 16}
LAPTOP = {"width": 1 / 8, "padding": "same", "fc6_size": 3}
# One score every 32 pixels, with straight lines between them, cannot follow an outline.
COARSE = {"accuracy": 0.88, "not_on_gpu": "a 64x64 kernel over 11 channels needs a texture of 12288 rows"}
# The CRF compares colors, and looks its lattice's vertices up, which no phone's file can hold.
CRF = {"channels": (), "not_converted": "PyFunc", "part_for_phone": without_crf}
TOYCAM_CRF = {
    "iterations": 3,
    "training_iterations": 2,
    "sigma_spatial": 0.8,
    "sigma_xy": 10.0,
    "sigma_rgb": 10.0,
}
# U-Net's convolutions without padding.
VALID = {"sizes": ((188, 188), (204, 236)), "size": (252, 284), "margin": 92}
# L2 normalisation lets features grow freely: at a rate of 3e-3 they leave the range of float16.
GENTLE = {"learning_rate": 1e-3, "steps": 100}
# ParseNet with everything that it can fuse.
ALL_MAPS = ("fc7", "conv5", "conv4", "conv3")
# A decoder without ReLU learns slowly at first.
QUICK = {"learning_rate": 1e-2, "steps": 120}
LONGER = {**QUICK, "steps": 200}  # after 120 one processor is at 0.97, another has just fallen to 0.93
CASES = (
    Case("fcn32s", PAPER, 134_346_581, **COARSE),
    Case("fcn16s", PAPER, 134_357_354, accuracy=0.91),
    Case("fcn8s", PAPER, 134_362_751, accuracy=0.93),
    Case("fcn32s", LAPTOP, variant="same", **COARSE),
    Case("fcn8s", LAPTOP, variant="same", accuracy=0.93),
    Case("deeplab_v1", {"width": 1 / 8}, 20_505_429, accuracy=0.93),
    Case("deeplab_v1", {"width": 1 / 8, "multiscale": True}, variant="msc", accuracy=0.93),
    Case("deeplab_v1", {"width": 1 / 16, "variant": "4x4"}, variant="4x4", accuracy=0.93),
    Case("crf_rnn", {**LAPTOP, "crf": TOYCAM_CRF}, 134_378_207, accuracy=0.93, steps=40, **CRF),
    Case("unet", {"width": 1 / 8}, 31_030_658, minimum=188, learning_rate=2e-3, steps=220, **VALID),
    Case("unet", {"width": 1 / 8, "padding": "same", "normalization": "batch"}, variant="same", steps=120),
    Case("parsenet", {"width": 1 / 8}, 20_529_002, accuracy=0.93, **GENTLE),
    Case("parsenet", {"width": 1 / 8, "fuse": ALL_MAPS, "fusion": "early"}, variant="early", **GENTLE),
    Case("segnet", {"width": 1 / 8}, 29_449_355, steps=120),
    Case("segnet_basic", {"width": 1 / 8}, 1_416_587, **QUICK),
    Case("segnet_basic", {"width": 1 / 8, "decoder": "single-channel"}, variant="single-channel", **LONGER),
    Case("segnet_basic", {"width": 1 / 8, "decoder": "fcn-basic"}, variant="fcn-basic"),
    Case("deeplab_v2", {"width": 1 / 16, "backbone": "resnet18"}, 44_048_532),
    Case("deeplab_v2", {"width": 1 / 16, "backbone": "resnet50", "scales": (1.0,)}, variant="resnet50"),
    Case("deeplab_v2", {"width": 1 / 8, "backbone": "vgg16", "scales": (1.0,)}, variant="vgg16"),
)


@cache
def one_image(case):
    """The middle of a large ToyCam scene, whose areas are large: uint8 [1, H, W, 3] and [1, h, w]."""
    output = case.output(case.size)
    scene = toycam.scene(1, 3, size=tuple(4 * side for side in output))
    middle = tuple(
        slice(2 * whole - side // 2, 2 * whole + side // 2)
        for whole, side in zip(output, case.size, strict=True)
    )
    inner = slice(case.margin, -case.margin or None)
    return scene.image[middle][None], scene.labels[middle][None, inner, inner]


@cache
def five_images(case):
    """`one_image(case)`, its three mirror images, and noise: uint8 [5, H, W, 3]."""
    image = one_image(case)[0]
    return np.concatenate([image, image[:, ::-1], image[:, :, ::-1], image[:, ::-1, ::-1], noise(case.size)])


@cache
def randomized(case):
    """The small network with random weights, for images of any size; shared, so leave it as it is."""
    return randomize(case.build())


@cache
def logits_of_noise(case, size):
    """Those that `randomized(case)` makes of `noise(size, count=2)`."""
    return logits_of(randomized(case), noise(size, count=2))


@cache
def trained(case):
    """The small network after it has learned `one_image(case)`, and its losses; shared by tests."""
    training.set_seed(0)
    takes_dropout = "dropout" in signature(models.MODELS[case.name]).parameters
    model = case.build(**({"dropout": 0.0} if takes_dropout else {}))
    training.compile(model, keras.optimizers.Adam(case.learning_rate), MaskedCrossEntropy())
    losses = [float(model.train_on_batch(*one_image(case))) for _ in range(case.steps)]
    return model, losses
