"""The masked cross-entropy against NumPy in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from segcourse.losses import MaskedCrossEntropy

SHAPE = (2, 5, 6)


def batch(seed=0, classes=4, void=0.3):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, SHAPE).astype(np.uint8)
    labels[random.random(SHAPE) < void] = 255
    return labels, random.normal(0, 3, (*SHAPE, classes)).astype("float32"), random.uniform(0, 2, SHAPE)


def oracle(labels, logits, class_weights=None, pixel_weights=None, void=255):
    """Sum of weight * -log softmax(logits)[label] over the labelled pixels, divided by their number."""
    total, count = 0.0, 0
    for index in np.ndindex(labels.shape):
        if labels[index] == void:
            continue
        z = logits[index].astype("float64")
        weight = 1.0 if class_weights is None else class_weights[labels[index]]
        weight *= 1.0 if pixel_weights is None else pixel_weights[index]
        total += weight * (np.log(np.exp(z - z.max()).sum()) + z.max() - z[labels[index]])
        count += 1
    return total / max(count, 1)


@pytest.mark.parametrize("class_weights", [None, [0.5, 1.0, 3.0, 0.0]])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_numpy(class_weights, weighted):
    labels, logits, pixels = batch()
    pixels = pixels if weighted else None
    found = MaskedCrossEntropy(class_weights=class_weights)(labels, logits, pixels)
    assert float(found) == pytest.approx(oracle(labels, logits, class_weights, pixels), rel=1e-5)


def test_by_hand():
    labels = np.array([[[0, 1, 255]]])
    logits = np.log(np.array([[[[0.5, 0.5], [0.75, 0.25], [0.001, 0.999]]]], "float32"))
    assert float(MaskedCrossEntropy()(labels, logits)) == pytest.approx((np.log(2) + np.log(4)) / 2, rel=1e-6)


@pytest.mark.parametrize("classes", [2, 11, 21])
def test_a_network_that_knows_nothing_pays_log_c(classes):
    labels = batch(classes=classes)[0]
    assert float(MaskedCrossEntropy()(labels, np.zeros((*SHAPE, classes)))) == pytest.approx(
        np.log(classes), rel=1e-6
    )


def test_keras_agrees_where_it_can():
    labels, logits, _ = batch()
    per_pixel = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    valid = labels != 255
    expected = np.asarray(per_pixel(labels[valid], logits[valid])).mean()
    assert float(MaskedCrossEntropy()(labels, logits)) == pytest.approx(float(expected), rel=1e-5)


def test_another_void_id():
    labels, logits, _ = batch(void=0)
    labels[0, 0] = 3
    assert float(MaskedCrossEntropy(void=3)(labels, logits)) == pytest.approx(
        oracle(labels, logits, void=3), rel=1e-5
    )


def test_void_pixels_have_no_gradient():
    tf = pytest.importorskip("tensorflow")
    labels, logits, _ = batch()
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = MaskedCrossEntropy()(labels, logits)
    gradient = np.abs(tape.gradient(loss, logits).numpy()).sum(-1)
    assert (gradient[labels == 255] == 0).all()
    assert (gradient[labels != 255] > 0).all()


def test_a_batch_of_void_alone_is_0_with_finite_gradients():
    tf = pytest.importorskip("tensorflow")
    logits = tf.Variable(batch()[1])
    with tf.GradientTape() as tape:
        loss = MaskedCrossEntropy(class_weights=[1, 2, 3, 4])(np.full(SHAPE, 255, np.uint8), logits)
    assert float(loss) == 0.0
    assert (tape.gradient(loss, logits).numpy() == 0).all()


def test_gradient_against_finite_differences():
    tf = pytest.importorskip("tensorflow")
    labels, logits, pixels = batch()
    weights = [0.5, 1.0, 3.0, 0.7]
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = MaskedCrossEntropy(class_weights=weights)(labels, variable, pixels)
    found, step = tape.gradient(loss, variable).numpy(), 1e-4
    for index in [(0, 0, 0, 0), (0, 2, 3, 1), (1, 4, 5, 3), (1, 1, 1, 2)]:
        up, down = logits.astype("float64"), logits.astype("float64")
        up[index] += step
        down[index] -= step
        slope = (oracle(labels, up, weights, pixels) - oracle(labels, down, weights, pixels)) / (2 * step)
        assert found[index] == pytest.approx(slope, abs=1e-5)


def test_low_precision_logits_are_summed_in_float32():
    labels, logits, _ = batch()
    for dtype in ("bfloat16", "float16"):
        low = ops.cast(logits, dtype)
        found = MaskedCrossEntropy()(labels, low)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        exact = oracle(labels, ops.convert_to_numpy(ops.cast(low, "float32")))
        assert float(found) == pytest.approx(exact, rel=1e-5)


def test_large_logits_stay_finite():
    labels, logits, _ = batch()
    assert np.isfinite(float(MaskedCrossEntropy()(labels, logits * 1e4)))


def test_wrong_number_of_class_weights():
    labels, logits, _ = batch()
    with pytest.raises(ValueError, match="3 class_weights for 4 classes"):
        MaskedCrossEntropy(class_weights=[1, 2, 3])(labels, logits)


def test_config_round_trip():
    loss = MaskedCrossEntropy(void=254, class_weights=(1, 2, 3, 4), name="loss")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert (
        again.get_config()
        == loss.get_config()
        == {"void": 254, "class_weights": [1.0, 2.0, 3.0, 4.0], "name": "loss"}
    )


def test_inside_fit_with_pixel_weights():
    labels, _, pixels = batch()
    image = keras.Input((5, 6, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 1)(image))
    images = np.random.default_rng(1).normal(size=(*SHAPE, 3)).astype("float32")
    model.compile("sgd", MaskedCrossEntropy(class_weights=[1, 2, 3, 4]), jit_compile=False)
    expected = oracle(labels, np.asarray(model(images)), [1, 2, 3, 4], pixels)
    found = model.evaluate(images, labels, sample_weight=pixels.astype("float32"), verbose=0)
    assert found == pytest.approx(expected, rel=1e-4)
