"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

import keras
from keras import ops


def confusion_matrix(labels, predictions, classes, void=255):
    """Count every (true class, predicted class) pair of pixels.

    Args:
        labels: integer ids of any shape, 0..classes-1 or `void`; void pixels are left out.
        predictions: integer ids 0..classes-1, same shape as `labels`; ignored on void pixels.
        classes: number of classes C.
        void: the id of pixels that nobody labelled.

    Returns:
        int32 tensor [C, C] of pixel counts: rows are the truth, columns the prediction.

    Raises:
        ValueError: if an id is no class. (In a compiled graph, which cannot raise, such pixels are left
        out.)
    """
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    predictions = ops.reshape(ops.cast(predictions, "int32"), (-1,))
    left_out = classes * classes
    known = (labels >= 0) & (labels < classes) & (predictions >= 0) & (predictions < classes)
    pair = ops.where(known, labels * classes + predictions, left_out + 1)
    counts = ops.bincount(ops.where(labels == void, left_out, pair), minlength=left_out + 1)
    if counts.shape[0] not in (None, left_out + 1):
        raise ValueError(
            f"Some ids are no class: needed are 0..{classes - 1}, or {void} (void) in the labels. "
            "Try check_masks()."
        )
    return ops.reshape(ops.cast(counts[:left_out], "int32"), (classes, classes))


def class_iou(confusion):
    """Intersection over union of each class: float64 array [C] in 0..1, NaN for a class nowhere to be seen.

    IoU_i = p_ii / (sum_j p_ij + sum_j p_ji - p_ii), p the confusion matrix (Garcia-Garcia et al. 2017).
    """
    confusion = ops.convert_to_numpy(confusion).astype("float64")
    hit = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = hit / union.clip(1)
    iou[union == 0] = float("nan")
    return iou


def scores(confusion):
    """The standard scores of a confusion matrix [C, C] (Garcia-Garcia et al. 2017).

    A class without a single pixel is left out of every mean: it counts neither as 0 nor as 1.

    Returns:
        dict of floats in 0..1, `pixel_accuracy`, `mean_accuracy`, `miou` and `fwiou`
        (frequency-weighted IoU), and `iou`, the array of `class_iou`.

    Raises:
        ValueError: if the matrix counts no pixel at all.
    """
    confusion = ops.convert_to_numpy(confusion).astype("float64")
    truth, hit, iou = confusion.sum(1), confusion.diagonal(), class_iou(confusion)
    if truth.sum() == 0:
        raise ValueError(
            "The confusion matrix counts no pixel: was everything void? Check the masks with check_masks()."
        )
    seen, known = truth > 0, iou == iou  # NaN is the one value that differs from itself
    return {
        "pixel_accuracy": float(hit.sum() / truth.sum()),
        "mean_accuracy": float((hit[seen] / truth[seen]).mean()),
        "miou": float(iou[known].mean()),
        "fwiou": float((truth[seen] * iou[seen]).sum() / truth.sum()),
        "iou": iou,
    }


def _count_pairs(labels, predictions, classes, void):
    """`confusion_matrix` for compiled steps: float32 [C, C], exact up to 16 million pixels a batch.

    An id that is no class is left out, because a compiled step cannot raise.
    """
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    truth = ops.one_hot(ops.where(labels == void, -1, labels), classes)  # the one-hot code of -1 is all 0
    guess = ops.one_hot(ops.reshape(predictions, (-1,)), classes)
    return ops.matmul(ops.transpose(truth), guess)


def _mean_iou(counts):
    """Mean IoU over the classes that occur of counts [C, C]: float32 scalar in 0..1, 0 if all are 0."""
    counts = ops.cast(counts, "float32")
    hit = ops.diagonal(counts)
    union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - hit
    present = ops.cast(union > 0, "float32")
    return ops.sum(hit / ops.maximum(union, 1.0)) / ops.maximum(ops.sum(present), 1.0)


def _ids(predictions, labels, classes):
    """Class ids [B, H, W] of logits [B, H, W, C]; ids come back as they are."""
    if len(predictions.shape) == len(labels.shape):
        return predictions
    if predictions.shape[-1] != classes:
        raise ValueError(
            f"Got logits for {predictions.shape[-1]} classes; this metric is for {classes} classes."
        )
    return ops.argmax(predictions, axis=-1)


@keras.saving.register_keras_serializable(package="segcourse")
class ConfusionMatrix(keras.metrics.Metric):
    """A confusion matrix that adds up over batches; as a number it is the mean IoU.

    `classes` is the number of classes C, `void` the id of pixels to leave out, `name` the key under which
    Keras reports the mean IoU. `update_state` takes ids [B, H, W] and logits [B, H, W, C] or ids [B, H, W].
    """

    def __init__(self, classes, void=255, name="miou", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.classes, self.void = classes, void
        self.counts = self.add_variable((classes, classes), initializer="zeros", dtype="int", name="counts")

    def update_state(self, labels, predictions, sample_weight=None):
        """Add the pixels of one batch; `sample_weight` is ignored, for a pixel is right or wrong."""
        predictions = _ids(predictions, labels, self.classes)
        batch = _count_pairs(labels, predictions, self.classes, self.void)
        self.counts.assign_add(ops.cast(batch, self.counts.dtype))

    def result(self):
        """The mean IoU so far; 0 before the first pixel."""
        return _mean_iou(self.counts)

    def confusion(self):
        """The counts so far, integer array [C, C]."""
        return ops.convert_to_numpy(self.counts)

    def scores(self):
        """All scores of the counts so far, as `scores()` gives them."""
        return scores(self.counts)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "classes": self.classes, "void": self.void}


def _edges(mask):
    """The pixels of a mask, bool [N, H, W], that touch a pixel outside it above, below, left or right."""
    padded = ops.pad(ops.cast(mask, "int32"), ((0, 0), (1, 1), (1, 1)), mode="symmetric") > 0
    inner = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    return ops.logical_and(mask, ops.logical_not(inner))


def _disc(radius):
    """Kernel [2r+1, 2r+1, 1, 1] that is 1 up to `radius` pixels from the centre, else 0."""
    reach = ops.arange(-int(radius), int(radius) + 1, dtype="float32")
    inside = reach[:, None] ** 2 + reach[None, :] ** 2 <= radius**2
    return ops.cast(inside, "float32")[:, :, None, None]


def _grow(mask, radius):
    """Every pixel within `radius` pixels (Euclidean) of a set pixel; mask and result are bool [N, H, W]."""
    if radius < 1:
        return mask
    mask = ops.cast(mask, "float32")[..., None]
    return ops.conv(mask, _disc(radius), padding="same")[..., 0] > 0.5


def boundary_f1(labels, predictions, classes, tolerance=0.0075, void=255):
    """The BF score: how well the outlines agree, whatever the size of the areas (Csurka et al. 2013).

    F1 of outline precision and recall for each image and each class whose outline the truth or the
    prediction shows, averaged over the classes of each image, then over the images that show any.

    Args:
        labels, predictions: integer ids [N, H, W]; what is predicted on `void` pixels is ignored.
        tolerance: how far outlines may be apart, in units of the image diagonal; 0.0075 is the usual value.

    Returns:
        float in 0..1; NaN if no image has an outline.
    """
    labels, predictions = ops.convert_to_tensor(labels), ops.convert_to_tensor(predictions)
    height, width = labels.shape[1:3]
    radius = tolerance * (height**2 + width**2) ** 0.5
    found = [
        _class_f1(labels == c, ops.logical_and(predictions == c, labels != void), radius)
        for c in range(classes)
    ]
    total = ops.convert_to_numpy(sum(f1 for f1, _ in found))
    count = ops.convert_to_numpy(sum(shown for _, shown in found))
    return float((total[count > 0] / count[count > 0]).mean()) if (count > 0).any() else float("nan")


def _class_f1(truth, guess, radius):
    """F1 of the outlines of two masks [N, H, W], and whether there is any outline: float32 [N] both."""
    truth, guess = _edges(truth), _edges(guess)
    precision = _share(guess, _grow(truth, radius))
    recall = _share(truth, _grow(guess, radius))
    shown = ops.cast(ops.any(ops.logical_or(truth, guess), axis=(1, 2)), "float32")
    return 2 * precision * recall / ops.maximum(precision + recall, 1e-12), shown


def _share(part, whole):
    """Share of the set pixels of `part` that `whole` has too, float32 [N]; 0 where `part` is empty."""
    both = ops.sum(ops.cast(ops.logical_and(part, whole), "float32"), axis=(1, 2))
    return both / ops.maximum(ops.sum(ops.cast(part, "float32"), axis=(1, 2)), 1.0)


def trimap_iou(labels, predictions, classes, width=3, void=255):
    """Mean IoU in a narrow band along the true boundaries (Krähenbühl & Koltun 2011, section 5).

    Args:
        labels, predictions: integer ids [N, H, W].
        width: the band holds every pixel at most this many pixels (Euclidean) from one next to another
            class or to void.

    Returns:
        float in 0..1.

    Raises:
        ValueError: if the band is empty, because no label map has a boundary.
    """
    labels = ops.convert_to_tensor(labels)
    border = ops.zeros(labels.shape, dtype="bool")
    for c in range(classes):
        border = ops.logical_or(border, _edges(labels == c))
    band = _grow(border, width)
    if not ops.convert_to_numpy(ops.any(band)):
        raise ValueError(
            "The band is empty: no boundary in any label map. Give maps that show at least two classes."
        )
    inside = ops.where(band, ops.cast(labels, "int32"), void)
    return scores(confusion_matrix(inside, predictions, classes, void))["miou"]
