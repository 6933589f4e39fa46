"""The rivals of SegNet-Basic's decoder that unpool too, or would, and what any decoder keeps (lesson 06).

Those that resemble FCN are in `segcourse.models.fcn_basic`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from segcourse.layers.alignment import Crop
from segcourse.layers.unpooling import MaxUnpooling2D
from segcourse.models.segnet_blocks import convolve, normalize


def unpooling_rival(
    pooled: Sequence[tuple[Any, Any, Any]],
    classes: int,
    dropout: float,
    *,
    addition: bool = False,
    single_channel: bool = False,
    replication: bool = False,
) -> Any:
    """SegNet-Basic's decoder with one thing changed (Badrinarayanan et al. 2015, section 3.1).

    Args:
        pooled: for each level from the finest on (features after pooling, indices, features before it).
        classes: number of classes C.
        dropout: rate 0..1 at the two deepest levels, or 0 for none.
        addition: add the encoder's pooled features of each size, too.
        single_channel: each filter of the decoder sees one channel alone.
        replication: repeat the values of a window instead of unpooling them.

    Returns:
        float32 logits [B, H, W, C].
    """
    x = pooled[-1][0]
    for level in (4, 3, 2, 1):
        _, indices, before = pooled[level - 1]
        x = _replicate(x, before, level) if replication else _unpool(x, indices, before, level)
        name = f"conv_decode{level}"
        x = _single_channel(x, name) if single_channel else convolve(x, x.shape[-1], 7, name, relu=False)
        if addition and level > 1:
            x = layers.Add(name=f"add_pool{level - 1}")([x, pooled[level - 2][0]])
        if dropout and level > 2:
            x = layers.Dropout(dropout, name=f"decdrop{level}")(x)
    return layers.Conv2D(classes, 1, kernel_initializer="he_normal", name="logits", dtype="float32")(x)


def _unpool(x, indices, before, level):
    return MaxUnpooling2D(name=f"unpool{level}")(x, indices, before)


def _replicate(x, before, level):
    x = layers.UpSampling2D(2, name=f"upsample{level}")(x)
    return Crop(name=f"upsample{level}_crop")([x, before])


def _single_channel(x, name):
    """A depthwise 7x7 convolution; its first weights are those of He et al., for 49 inputs."""
    start = keras.initializers.RandomNormal(stddev=2**0.5 / 7)
    x = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=start, name=name)(x)
    return normalize(x, name)


def encoder_storage(model: keras.Model) -> int:
    """Bytes that the decoder keeps from the encoder for one image: 2 bits an index, 4 bytes a feature.

    Args:
        model: a network of lesson 06, built for a fixed input size. Integers that a layer gets are indices,
            and what an `Add` gets second are features of the encoder.

    Raises:
        ValueError: if the size is open.
    """
    if None in model.input.shape[1:]:
        raise ValueError(f"{model.name} takes any size: build it with one, input_shape=(360, 480, 3).")
    bits = 0
    for layer in model.layers:
        inputs = keras.tree.flatten(layer.input)
        bits += sum(2 * math.prod(tensor.shape[1:]) for tensor in inputs if "int" in tensor.dtype)
        if isinstance(layer, layers.Add):
            bits += 32 * math.prod(inputs[1].shape[1:])
    return bits // 8
