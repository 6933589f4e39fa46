"""The losses and class weights by name, against NumPy."""

import keras
import numpy as np
import pytest

from segcourse import runs
from segcourse.cli.train import CLASS_WEIGHTS, LOSSES
from segcourse.losses import MaskedCrossEntropy, median_frequency_weights
from segcourse.losses.regions import MaskedDice, MaskedFocal
from segcourse.runs import losses


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, (2, 5, 7)).astype("uint8")
    labels[0, :2], labels[labels == 2] = 255, 1
    labels[1, 0, 0] = 2
    return labels, rng.normal(0, 2, (2, 5, 7, 4)).astype("float32")


def probabilities(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_focal(batch):
    labels, logits = batch
    known, weights = labels != 255, np.array([1, 2, 0.5, 3])
    right = np.take_along_axis(probabilities(logits), np.where(known, labels, 0)[..., None], -1)[..., 0]
    each = -np.log(right) * (1 - right) ** 2 * weights[np.where(known, labels, 0)]
    assert float(MaskedFocal(class_weights=weights)(labels, logits)) == pytest.approx(
        each[known].mean(), rel=1e-5
    )
    plain = float(MaskedCrossEntropy(class_weights=weights)(labels, logits))
    assert float(MaskedFocal(class_weights=weights, gamma=0)(labels, logits)) == pytest.approx(
        plain, rel=1e-6
    )
    half = known * 0.5
    expected = 0.5 * each[known].mean()
    assert float(MaskedFocal(class_weights=weights)(labels, logits, half)) == pytest.approx(
        expected, rel=1e-5
    )


def test_dice(batch):
    labels, logits = batch
    known, p = labels != 255, probabilities(logits)
    dice = []
    for k in range(3):  # class 3 does not occur
        truth = (labels == k)[known]
        dice.append(2 * p[..., k][known][truth].sum() / (p[..., k][known].sum() + truth.sum()))
    assert float(MaskedDice()(labels, logits)) == pytest.approx(1 - np.mean(dice), rel=1e-5)


@pytest.mark.parametrize("loss", [MaskedFocal(class_weights=[1, 2, 3, 4], gamma=1.5), MaskedDice(void=9)])
def test_they_survive_saving_and_nothing_is_learned_from_void_alone(loss, batch):
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss) and again.get_config() == loss.get_config()
    void = np.full_like(batch[0], loss.void)
    assert np.isfinite(float(loss(void, batch[1])))


def test_class_weights():
    masks = np.array([[[0, 0, 0, 1]], [[0, 0, 255, 255]]], np.uint8)
    share = np.array([5 / 6, 1 / 6])
    expected = [*(1 / np.log(1.02 + share)), 0]
    np.testing.assert_allclose(losses.class_weights("enet", masks, 3), expected)
    found = losses.class_weights("median-frequency", masks, 3)
    np.testing.assert_allclose(found, median_frequency_weights(masks, 3))


def test_names():
    for name, kind in zip(runs.LOSSES, (MaskedCrossEntropy, MaskedFocal, MaskedDice), strict=True):
        assert type(losses.loss(name)) is kind
    assert losses.loss("focal", [1, 2]).class_weights == [1, 2]
    with pytest.raises(runs.BadRequest, match="dice counts every class alike"):
        losses.loss("dice", [1, 2])
    with pytest.raises(runs.BadRequest, match="no loss 'hinge'. Known: cross-entropy, focal, dice"):
        losses.loss("hinge")
    with pytest.raises(runs.BadRequest, match="no class weights 'even'"):
        losses.class_weights("even", [], 2)
    # The command line must not import NumPy to show its help, so that it has the names as well.
    assert (LOSSES, CLASS_WEIGHTS) == (runs.LOSSES, runs.CLASS_WEIGHTS)
