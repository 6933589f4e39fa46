"""Generated from notebooks/04_unet.ipynb. Edit the lesson, then run make export.

Lesson 04 · U-Net: cells told apart, from thirty pictures.
"""

from dataclasses import dataclass

from segcourse.datasets.augment import Augment


def displacements(seeds, size, grid=3, strength=10.0):
    """Smooth random displacements, float32 [B, H, W, 2]: how far down and right a pixel's new value lies.

    Gaussian on a coarse grid of grid x grid points, with the standard deviation `strength` in pixels; bicubic
    in between. `seeds`: integers [B, 2]; the field of a picture depends on nothing else. `size`: (H, W).
    """
    import tensorflow as tf

    def coarse(seed):
        return tf.random.stateless_normal([grid, grid, 2], seed, stddev=strength, alg="philox")

    fields = tf.map_fn(coarse, tf.cast(seeds, tf.int64), fn_output_signature=tf.TensorSpec([grid, grid, 2]))
    return tf.image.resize(fields, size, method="bicubic")


def _between(take, at):
    """Linear interpolation between the four pixels around each place `at`; `take` looks pixels up."""
    import tensorflow as tf

    corner = tf.floor(at)
    down, right = tf.split(at - corner, 2, axis=-1)
    corners = [tf.cast(corner, tf.int32) + step for step in ([0, 0], [0, 1], [1, 0], [1, 1])]
    a, b, c, d = (tf.cast(take(place), tf.float32) for place in corners)
    return (1 - down) * ((1 - right) * a + right * b) + down * ((1 - right) * c + right * d)


def warp(values, field, nearest=False):
    """Look every pixel of values [B, H, W, C] up at its displaced place; they are mirrored at their edges.

    `field`: as of `displacements`, no longer than the picture. With `nearest` the nearest pixel is taken (for
    ids), in the dtype of `values`; otherwise float32, linear between four pixels.
    """
    import tensorflow as tf

    values = tf.convert_to_tensor(values)
    count, height, width, channels = (tf.shape(values)[i] for i in range(4))
    ends = tf.stack([height, width]) - 1
    pixels = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), -1)
    far = tf.cast(ends, tf.float32)
    at = far - tf.abs(far - tf.abs(tf.cast(pixels, tf.float32) + field))

    def take(place):
        place = tf.clip_by_value(place, 0, ends)
        flat = tf.reshape(values, [count, -1, channels])
        return tf.gather(flat, place[..., 0] * width + place[..., 1], batch_dims=1)

    return take(tf.cast(tf.round(at), tf.int32)) if nearest else _between(take, at)


@dataclass(frozen=True)
class Elastic(Augment):
    """An `Augment` that first bends picture and mask like a sheet of rubber (Ronneberger et al. 2015, 3.1).

    Use it wherever an `Augment` goes: `datasets.epochs(images, labels, 4, augment=Elastic(strength=6.0))`.
    The field is a function of the picture's random numbers alone: a resumed training sees the same views.

    Args:
        grid: the coarse grid has grid x grid points.
        strength: standard deviation of the displacements on the grid, in pixels; 0 bends nothing.
    """

    grid: int = 3
    strength: float = 10.0

    def view(self, images, masks, draws):
        """The views of a batch, uint8 [B, H, W, 3] and [B, H, W]; arguments as for `Augment.view`."""
        import tensorflow as tf

        images, masks = tf.convert_to_tensor(images), tf.convert_to_tensor(masks)
        seeds = tf.cast(tf.convert_to_tensor(draws, tf.float32)[:, :2] * 2.0**24, tf.int64)
        field = displacements(seeds, tf.shape(images)[1:3], self.grid, self.strength)
        return super().view(warp(images, field), warp(masks[..., None], field, nearest=True)[..., 0], draws)
