"""Generated from notebooks/01_fcn.ipynb. Edit the lesson, then run make export.

Lesson 01 · FCN: a classifier that labels every pixel.
"""

import keras
from keras import ops


def bilinear_kernel(size):
    """The kernel, float32 [size, size], that makes a transposed convolution upsample bilinearly; values 0..1.

    It is the product of two triangles: 1 at the centre, falling to 0 just outside the kernel (Long et al.
    2015, section 3.3; `surgery.upsample_filt` of the released code). A stride s goes with size 2s - s % 2.
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    triangle = 1 - ops.abs(ops.arange(size, dtype="float32") - centre) / factor
    return triangle[:, None] * triangle[None, :]


@keras.saving.register_keras_serializable(package="segcourse")
class Bilinear(keras.initializers.Initializer):
    """Initial weights [k, k, C, C] of a `Conv2DTranspose` that upsamples each of its C channels bilinearly.

    The kernel stands on the diagonal (channel c feeds channel c); everything else is 0.

    Raises:
        ValueError: if the kernel is not square or the numbers of channels differ.
    """

    def __call__(self, shape, dtype=None):
        height, width, channels_out, channels_in = shape
        if height != width or channels_out != channels_in:
            raise ValueError(f"Bilinear upsampling needs a kernel of shape [k, k, C, C], got {list(shape)}.")
        kernel = bilinear_kernel(height)[:, :, None, None] * ops.eye(channels_out)
        return ops.cast(kernel, dtype or keras.config.floatx())
