"""Generated from notebooks/00_start_here.ipynb. Edit the lesson, then run make export.

Lesson 00 · Start here.
"""

from keras import ops

from segcourse.metrics.confusion import confusion_matrix, scores


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


def _share(part, whole):
    """Share of the set pixels of `part` that `whole` has too, float32 [N]; 0 where `part` is empty."""
    both = ops.sum(ops.cast(ops.logical_and(part, whole), "float32"), axis=(1, 2))
    return both / ops.maximum(ops.sum(ops.cast(part, "float32"), axis=(1, 2)), 1.0)


def _class_f1(truth, guess, radius):
    """F1 of the outlines of two masks [N, H, W], and whether there is any outline: float32 [N] both."""
    truth, guess = _edges(truth), _edges(guess)
    precision = _share(guess, _grow(truth, radius))
    recall = _share(truth, _grow(guess, radius))
    shown = ops.cast(ops.any(ops.logical_or(truth, guess), axis=(1, 2)), "float32")
    return 2 * precision * recall / ops.maximum(precision + recall, 1e-12), shown


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


def trimap_iou(labels, predictions, classes, width=3, void=255):
    """Mean IoU in a narrow band along the true boundaries (Krähenbühl & Koltun 2011, section 5).

    Args:
        labels, predictions: integer ids [N, H, W].
        width: how many pixels (Euclidean) the band reaches beyond those next to another class or to void.

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
