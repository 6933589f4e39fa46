"""FCN-Basic and what the paper leaves out of it: the rivals of SegNet-Basic's decoder (Table 1, lesson 06).

Each decoder is built on SegNet-Basic's encoder. It upsamples twofold, four times, and may add the encoder's
features of the same size on the way, all of them or reduced to one map a class. Whatever makes scores starts
at zero, as in FCN: four maps of unlike size, added up, would otherwise cost twice or three times the loss of
chance at first.
"""

import keras
from keras import layers, ops

from segcourse.layers.alignment import Crop
from segcourse.layers.bilinear import Bilinear


def fcn_decoder(pooled, classes, dropout, *, addition=True, reduction=True, learned=True):
    """FCN-Basic by default (Badrinarayanan et al. 2015, section 3.1).

    Args:
        pooled: for each level from the finest on (features after pooling, indices, features before it).
        classes: number of classes C.
        dropout: rate at the two deepest levels, or 0.
        addition: add the encoder's features of each size.
        reduction: reduce the encoder's features to C maps first; else to C maps at the very end.
        learned: upsample by a transposed convolution that is trained; else by bilinear interpolation.

    Returns:
        float32 logits [B, H, W, C].
    """
    upsampling = learned_upsampling if learned else bilinear_upsampling
    x = pooled[-1][0]
    x = _scores(x, classes, name="reduce4") if reduction else x
    for level in (4, 3, 2, 1):
        x = upsampling(x, pooled[level - 1][2], f"upsample{level}")
        if addition and level > 1:
            skip = pooled[level - 2][0]
            skip = _scores(skip, classes, name=f"reduce{level - 1}") if reduction else skip
            x = layers.Add(name=f"add_pool{level - 1}")([x, skip])
        if dropout and level > 2:
            x = layers.Dropout(dropout, name=f"decdrop{level}")(x)
    if reduction:
        return layers.Activation("linear", dtype="float32", name="logits")(x)
    return _scores(x, classes, name="logits", dtype="float32")


def _scores(x, classes, name, dtype=None):
    return layers.Conv2D(classes, 1, kernel_initializer="zeros", name=name, dtype=dtype)(x)


def learned_upsampling(x, like, name):
    """Twice the size, cut to that of `like`, by a trained 8x8 kernel that begins as interpolation."""
    x = layers.Conv2DTranspose(
        x.shape[-1], 8, strides=2, use_bias=False, kernel_initializer=PaddedBilinear(), name=name
    )(x)
    return Crop(3, name=f"{name}_crop")([x, like])


def bilinear_upsampling(x, like, name):
    """Twice the size, cut to that of `like`; nothing is learned."""
    x = layers.UpSampling2D(2, interpolation="bilinear", name=name)(x)
    return Crop(name=f"{name}_crop")([x, like])


@keras.saving.register_keras_serializable(package="segcourse")
class PaddedBilinear(Bilinear):
    """First weights [8, 8, C, C] of a learned twofold upsampling: the 4x4 bilinear kernel in zeros."""

    def __call__(self, shape, dtype=None):
        """The kernel, of the dtype that is asked for."""
        rim = (shape[0] - 4) // 2
        inner = super().__call__((4, 4, *shape[2:]), dtype)
        return ops.pad(inner, ((rim, rim), (rim, rim), (0, 0), (0, 0)))
