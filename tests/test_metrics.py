"""The metrics against hand-computed values and independent implementations."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as sklearn_metrics

from segcourse.metrics import ConfusionMatrix, boundary_f1, class_iou, confusion_matrix, scores, trimap_iou

# Truth and prediction of 20 pixels, 3 classes; every number below was worked out on paper.
TRUTH = np.array([[0, 0, 2, 0, 0], [0, 0, 2, 0, 0], [1, 1, 2, 1, 1], [1, 1, 1, 1, 1]], np.uint8)
GUESS = np.array([[0, 0, 0, 0, 0], [0, 0, 2, 2, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]], np.uint8)
MATRIX = [[7, 0, 1], [1, 8, 0], [1, 1, 1]]


def random_maps(seed, shape=(2, 9, 11), classes=4, void=0.1):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, shape).astype(np.uint8)
    labels[random.random(shape) < void] = 255
    return labels, random.integers(0, classes, shape).astype(np.uint8)


def blobs(seed, shape=(3, 24, 31), classes=4):
    """Label maps with areas and outlines, unlike noise."""
    noise = np.random.default_rng(seed).normal(size=(classes, *shape))
    return ndimage.gaussian_filter(noise, (0, 0, 2.5, 2.5)).argmax(0).astype(np.uint8)


def pixel_loop(labels, predictions, classes):
    matrix = np.zeros((classes, classes), int)
    for truth, guess in zip(labels.flat, predictions.flat, strict=True):
        if truth != 255:
            matrix[truth, guess] += 1
    return matrix


def test_confusion_matrix_by_hand():
    found = np.asarray(confusion_matrix(TRUTH, GUESS, 3))
    assert found.tolist() == MATRIX
    assert found.dtype.kind == "i"


def test_scores_by_hand():
    found = scores(MATRIX)
    np.testing.assert_allclose(found.pop("iou"), [7 / 10, 8 / 10, 1 / 4])
    assert found == pytest.approx(
        {
            "pixel_accuracy": 16 / 20,
            "mean_accuracy": (7 / 8 + 8 / 9 + 1 / 3) / 3,
            "miou": (0.7 + 0.8 + 0.25) / 3,
            "fwiou": (8 * 0.7 + 9 * 0.8 + 3 * 0.25) / 20,
        }
    )


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 12), void=st.sampled_from([0, 0.2, 0.9]))
@settings(deadline=None, max_examples=25)
def test_three_ways_to_count(seed, classes, void):
    labels, predictions = random_maps(seed, classes=classes, void=void)
    valid = labels != 255
    found = np.asarray(confusion_matrix(labels, predictions, classes))
    np.testing.assert_array_equal(found, pixel_loop(labels, predictions, classes))
    if valid.any():
        other = sklearn_metrics.confusion_matrix(labels[valid], predictions[valid], labels=range(classes))
        np.testing.assert_array_equal(found, other)
        present = np.union1d(labels[valid], predictions[valid])
        iou = sklearn_metrics.jaccard_score(
            labels[valid], predictions[valid], labels=present, average=None, zero_division=0
        )
        np.testing.assert_allclose(class_iou(found)[present], iou)
        assert scores(found)["miou"] == pytest.approx(iou.mean())
        assert scores(found)["pixel_accuracy"] == pytest.approx((labels == predictions)[valid].mean())


def test_mean_iou_is_that_of_keras():
    labels, predictions = random_maps(0, (4, 16, 16), void=0)
    other = keras.metrics.MeanIoU(num_classes=4)
    other.update_state(labels, predictions)
    assert scores(confusion_matrix(labels, predictions, 4))["miou"] == pytest.approx(
        float(other.result()), abs=1e-6
    )


def test_absent_classes_count_neither_as_0_nor_as_1():
    matrix = np.zeros((5, 5), int)
    matrix[np.ix_([0, 2, 4], [0, 2, 4])] = MATRIX
    found, small = scores(matrix), scores(MATRIX)
    assert np.isnan(found["iou"]).tolist() == [False, True, False, True, False]
    for name in ("pixel_accuracy", "mean_accuracy", "miou", "fwiou"):
        assert found[name] == pytest.approx(small[name])


def test_a_class_that_is_only_predicted_is_wrong_but_has_no_accuracy():
    found = scores([[3, 1], [0, 0]])
    assert found["iou"].tolist() == [0.75, 0.0]
    assert found["miou"] == pytest.approx(0.375)
    assert found["mean_accuracy"] == pytest.approx(0.75)


def test_void_pixels_do_not_count():
    labels = TRUTH.copy()
    labels[0] = 255
    np.testing.assert_array_equal(
        confusion_matrix(labels, GUESS, 3), confusion_matrix(TRUTH[1:], GUESS[1:], 3)
    )
    assert np.asarray(confusion_matrix(TRUTH, GUESS, 3, void=2)).sum() == 17


def test_nothing_to_count():
    nothing = confusion_matrix(np.full((2, 3), 255, np.uint8), np.zeros((2, 3), np.uint8), 3)
    assert np.asarray(nothing).sum() == 0
    with pytest.raises(ValueError, match="no pixel"):
        scores(nothing)


@pytest.mark.parametrize(("label", "prediction"), [(3, 0), (0, 3), (-1, 0), (0, -1), (254, 0), (0, 255)])
def test_ids_that_are_no_class_are_refused(label, prediction):
    labels, predictions = TRUTH.astype(int), GUESS.astype(int)
    labels[1, 1], predictions[1, 1] = label, prediction
    with pytest.raises(ValueError, match="0..2"):
        confusion_matrix(labels, predictions, 3)


@given(st.lists(st.lists(st.integers(0, 50), min_size=3, max_size=3), min_size=3, max_size=3))
def test_identities(matrix):
    matrix = np.array(matrix)
    if matrix.sum() == 0:
        return
    found = scores(matrix)
    truth, hit = matrix.sum(1), matrix.diagonal()
    seen = truth > 0
    assert found["fwiou"] <= found["pixel_accuracy"] + 1e-12
    share, recall = truth[seen] / truth.sum(), hit[seen] / truth[seen]
    assert found["pixel_accuracy"] == pytest.approx((share * recall).sum())
    known = ~np.isnan(found["iou"])
    dice = 2 * hit[known] / (truth + matrix.sum(0))[known]
    np.testing.assert_allclose(dice, 2 * found["iou"][known] / (1 + found["iou"][known]))


def test_streaming_is_the_whole():
    labels, predictions = random_maps(1, (7, 8, 9))
    logits = np.eye(4, dtype="float32")[predictions]
    metric = ConfusionMatrix(4)
    for start in range(0, 7, 3):
        batch = slice(start, start + 3)
        # Ids and logits may take turns: both mean the same predictions.
        metric.update_state(labels[batch], logits[batch] if start else predictions[batch])
    whole = np.asarray(confusion_matrix(labels, predictions, 4))
    np.testing.assert_array_equal(metric.confusion(), whole)
    assert float(metric.result()) == pytest.approx(scores(whole)["miou"], abs=1e-6)
    assert metric.scores()["fwiou"] == scores(whole)["fwiou"]
    metric.reset_state()
    assert metric.confusion().sum() == 0 and float(metric.result()) == 0


def test_metric_leaves_absent_classes_out():
    metric = ConfusionMatrix(6)
    metric.update_state(TRUTH[None], GUESS[None])
    assert float(metric.result()) == pytest.approx(0.583333, abs=1e-5)


def test_metric_refuses_logits_of_another_number_of_classes():
    with pytest.raises(ValueError, match="3 classes"):
        ConfusionMatrix(3).update_state(TRUTH[None], np.zeros((1, 4, 5, 21), "float32"))


@pytest.mark.parametrize("jit", [False, True])
def test_metric_inside_fit(jit):
    labels, _ = random_maps(2, (4, 8, 8))
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 1)(image))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255),
                  metrics=[ConfusionMatrix(4)], jit_compile=jit)  # fmt: skip
    found = model.evaluate(images, labels, batch_size=3, verbose=0, return_dict=True)["miou"]
    predictions = np.asarray(model(images)).argmax(-1)
    assert found == pytest.approx(scores(confusion_matrix(labels, predictions, 4))["miou"], abs=1e-6)


def test_metric_config_round_trip():
    metric = ConfusionMatrix(7, void=254, name="iou")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert (again.classes, again.void, again.name) == (7, 254, "iou")


# Boundary F1 and trimap: distances by SciPy or by comparing every pixel with every pixel.


def outline(mask):
    """Pixels of the mask with a 4-neighbour inside the picture that is not of the mask."""
    found = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            if 0 <= y + dy < mask.shape[0] and 0 <= x + dx < mask.shape[1] and not mask[y + dy, x + dx]:
                found[y, x] = True
    return found


def brute_force_bf(labels, predictions, classes, tolerance):
    means = []
    for truth, guess in zip(labels, predictions, strict=True):
        guess = np.where(truth == 255, 255, guess)
        radius, f1s = tolerance * np.hypot(*truth.shape), []
        for c in range(classes):
            a, b = np.argwhere(outline(truth == c)), np.argwhere(outline(guess == c))
            if len(a) + len(b) == 0:
                continue
            if len(a) == 0 or len(b) == 0:
                f1s.append(0.0)
                continue
            near = np.linalg.norm(a[:, None] - b[None], axis=-1) <= radius
            precision, recall = near.any(0).mean(), near.any(1).mean()
            f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        if f1s:
            means.append(np.mean(f1s))
    return np.mean(means) if means else np.nan


@pytest.mark.parametrize("tolerance", [0.0, 0.0075, 0.03, 0.06, 0.13])
@pytest.mark.parametrize("seed", range(3))
def test_boundary_f1_against_brute_force(seed, tolerance):
    labels, predictions = blobs(seed), blobs(seed + 100)
    labels[0, :5, 3:9] = 255
    predictions[2] = labels[2]
    expected = brute_force_bf(labels, predictions, 4, tolerance)
    assert boundary_f1(labels, predictions, 4, tolerance) == pytest.approx(expected, abs=1e-6)


def test_boundary_f1_by_hand():
    truth = np.zeros((1, 10, 10), np.uint8)
    truth[:, :, 5:] = 1
    shifted = np.zeros((1, 10, 10), np.uint8)
    shifted[:, :, 7:] = 1  # the outline moves by 2 pixels
    diagonal = np.hypot(10, 10)
    assert boundary_f1(truth, truth, 2) == 1.0
    assert boundary_f1(truth, shifted, 2, tolerance=1.9 / diagonal) == 0.0
    assert boundary_f1(truth, shifted, 2, tolerance=2.0001 / diagonal) == 1.0


def test_boundary_f1_of_missing_and_invented_classes():
    truth = np.zeros((1, 12, 12), np.uint8)
    truth[:, 4:8, 4:8] = 1
    nothing = np.zeros_like(truth)
    assert boundary_f1(truth, nothing, 2) == 0.0
    assert boundary_f1(nothing, truth, 2) == 0.0
    assert np.isnan(boundary_f1(nothing, nothing, 2))


def test_boundary_f1_averages_over_images_that_have_outlines():
    truth = np.zeros((3, 12, 12), np.uint8)
    truth[:2, 4:8, 4:8] = 1
    guess = truth.copy()
    guess[1] = 0
    assert boundary_f1(truth, guess, 2) == pytest.approx(0.5)


def scipy_trimap(labels, predictions, classes, width):
    matrix = np.zeros((classes, classes), int)
    for truth, guess in zip(labels, predictions, strict=True):
        border = np.any([outline(truth == c) for c in range(classes)], axis=0)
        if border.any():
            band = ndimage.distance_transform_edt(~border) <= width
            matrix += pixel_loop(np.where(band, truth, 255), guess, classes)
    hit = matrix.diagonal()
    union = matrix.sum(0) + matrix.sum(1) - hit
    return (hit[union > 0] / union[union > 0]).mean()


@pytest.mark.parametrize("width", [0, 1, 1.5, 3, 7])
def test_trimap_against_scipy(width):
    labels, predictions = blobs(5), blobs(6)
    labels[1] = 2  # a picture without any outline
    labels[0, 10:12, 3:9] = 255
    expected = scipy_trimap(labels, predictions, 4, width)
    assert trimap_iou(labels, predictions, 4, width) == pytest.approx(expected, abs=1e-9)


def test_trimap_of_everything_is_the_mean_iou():
    labels, predictions = blobs(7), blobs(8)
    expected = scores(confusion_matrix(labels, predictions, 4))["miou"]
    assert trimap_iou(labels, predictions, 4, width=60) == pytest.approx(expected)


def test_trimap_sees_only_the_band():
    truth = np.zeros((1, 20, 20), np.uint8)
    truth[:, :, 10:] = 1
    far = truth.copy()
    far[:, :, :3] = 1
    assert trimap_iou(truth, far, 2, width=3) == 1.0
    assert trimap_iou(truth, far, 2, width=9) < 1.0


def test_trimap_without_a_boundary():
    flat = np.zeros((1, 8, 8), np.uint8)
    with pytest.raises(ValueError, match="no boundary"):
        trimap_iou(flat, flat, 2)
