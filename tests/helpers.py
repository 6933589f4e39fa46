"""What several test files share: networks and their logits, small pictures, other processes, the lessons."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import keras
import numpy as np
from keras import layers

from segcourse import tflite

ROOT = Path(__file__).resolve().parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def tags(cell):
    """The tags of a notebook's cell."""
    return cell.metadata.get("tags", [])


# Arrays and logits


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def noise(size, count=1, seed=0):
    """Images of noise, uint8 [count, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def logits_of(model, images):
    return array(model(images, training=False))


def assert_same(expected, logits):
    """Two ways of computing one network agree: nearly all logits, and at every pixel of most images.

    Where two values of a pooling window are equal up to rounding, a network with pooling indices may differ
    around them: that happens in a single image, while a fault shows in all of them.
    """
    found = tflite.agreement(expected, logits)
    assert found.failures() == [], str(found)
    images = np.abs(expected - logits).max(axis=(1, 2, 3))
    assert np.median(images) <= 1e-4 * found.logit_range, f"differences of the images: {images}; {found}"


# Weights


def randomize(model, weights=None, seed=0):
    """Give all weights (or those listed) random values: scores of zero hide what lies before them.

    Kernels get the variance that keeps the size of activations, all else is about 0.1 from its start.
    """
    random = np.random.default_rng(seed)
    for weight in model.weights if weights is None else weights:
        shape = tuple(weight.shape)
        if len(shape) > 1:
            values = random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
        else:
            values = array(weight) + random.uniform(0.02, 0.2, shape)
        weight.assign(values.astype("float32"))
    return model


def trainable_weights(build):
    """How many trainable weights `build()` has, without the gigabytes and seconds of creating them."""
    with keras.StatelessScope(initialize_variables=False):  # variables get a shape and no values
        count = sum(int(np.prod(weight.shape)) for weight in build().trainable_weights)
    keras.utils.clear_session()  # forgets the variables that wait for their values
    return count


def gradients(model, images, seed=0):
    """Gradients of a random projection of the logits: dict path of each trainable weight -> array.

    Read from the velocity that one step of SGD leaves behind, which works on every Keras backend.
    """
    before, size = model.get_weights(), logits_of(model, images).shape
    projection = np.random.default_rng(seed).normal(size=size).astype("float32")
    optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
    twin = keras.Model(model.input, model.output)  # shares the weights, and leaves the model uncompiled
    # Without a graph: for a single step, tracing takes longer than computing.
    twin.compile(optimizer, lambda target, logits: keras.ops.mean(target * logits), run_eagerly=True)
    twin.train_on_batch(images, projection)
    model.set_weights(before)
    moved = zip(model.trainable_weights, optimizer.momentums, strict=True)
    return {weight.path: -array(momentum) for weight, momentum in moved}


# Other processes


def run_python(*arguments, env=None, **options):
    """Run this Python with arguments and further environment variables; output comes back as text."""
    environment = {**os.environ, **(env or {})}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, **options)


LOAD = """
import sys, traceback
import keras, segcourse
import numpy as np
for file in sys.argv[1:]:
    try:
        model = keras.models.load_model(file)
        logits = model(np.load(file + ".images.npy"), training=False)
        np.save(file + ".logits.npy", keras.ops.convert_to_numpy(logits))
    except Exception:
        open(file + ".error.txt", "w").write(traceback.format_exc())
"""


def load_elsewhere(files, backend=None):
    """Load saved models in a fresh process that imports `keras` and `segcourse` and nothing else of ours.

    Args:
        files: paths of `.keras` files, each with the images to predict on in `<file>.images.npy`.
        backend: the Keras backend of that process; by default the one of this process.

    Returns:
        dict file -> logits, or the traceback as a string.
    """
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["KERAS_BACKEND"] = backend or keras.backend.backend()
    done = run_python("-c", LOAD, *map(str, files), env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    results = {}
    for file in map(str, files):
        logits, error = f"{file}.logits.npy", f"{file}.error.txt"
        results[file] = np.load(logits) if os.path.exists(logits) else Path(error).read_text()
    return results


# Small networks and pictures, for the tests of the export

SIZE = (48, 64)
CLASSES = 5
_COLORS = np.array([[200, 60, 50], [60, 190, 70], [50, 80, 210], [220, 210, 80], [120, 120, 120]])


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
    images = _COLORS[labels] + rng.normal(0, 20, (*labels.shape, 3))
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


@cache
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
