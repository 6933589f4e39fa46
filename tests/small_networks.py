"""Small networks and pictures for the tests of the export."""

import keras
import numpy as np
from keras import layers

SIZE = (48, 64)
CLASSES = 5
COLORS = np.array([[200, 60, 50], [60, 190, 70], [50, 80, 210], [220, 210, 80], [120, 120, 120]])


def pictures(count, seed, size=SIZE):
    """Noisy coloured rectangles on a plain ground: uint8 images and labels."""
    rng = np.random.default_rng(seed)
    labels = (
        np.repeat(rng.integers(0, CLASSES, (count, 1, 1)), size[0], 1).repeat(size[1], 2).astype(np.uint8)
    )
    for scene in labels:
        for _ in range(6):
            top, left = rng.integers(0, size[0] - 8), rng.integers(0, size[1] - 8)
            scene[top : top + rng.integers(8, 24), left : left + rng.integers(8, 32)] = rng.integers(CLASSES)
    images = COLORS[labels] + rng.normal(0, 20, (*labels.shape, 3))
    return images.clip(0, 255).astype(np.uint8), labels


def encoder_decoder(input_shape=(None, None, 3)):
    """Conv-BN-ReLU, atrous, depthwise and transposed convolutions, a skip, bilinear resizing."""
    image = keras.Input(input_shape, name="picture")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = _conv_bn_relu(x, 12, strides=2)
    skip = x
    x = layers.MaxPooling2D(padding="same")(x)
    x = _conv_bn_relu(x, 16, dilation_rate=2)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Conv2DTranspose(12, 4, strides=2, padding="same")(x)
    x = layers.Concatenate()([x, skip])
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    return keras.Model(image, layers.Conv2D(CLASSES, 3, padding="same")(x))


def trained_encoder_decoder():
    """The network above after a few seconds on `pictures`: logits that mean something."""
    keras.utils.set_random_seed(0)
    model = encoder_decoder()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    model.fit(*pictures(64, seed=1), batch_size=8, epochs=6, verbose=0)
    return model


def asking(block, input_shape=(*SIZE, 3), seed=0):
    """A network that asks one question: 8 channels at half size, `block`, 1x1 convolution."""
    keras.utils.set_random_seed(seed)
    image = keras.Input(input_shape)
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", bias_initializer="random_normal")(x)
    return keras.Model(image, layers.Conv2D(CLASSES, 1, bias_initializer="random_normal")(block(x)))


def with_random_scores(model):
    """Fills the score layers of an FCN, which start at zero."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.startswith("score") and layer.weights:
            layer.kernel.assign(rng.normal(0, 0.02, layer.kernel.shape))
    return model


def _conv_bn_relu(x, channels, **arguments):
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, **arguments)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))
