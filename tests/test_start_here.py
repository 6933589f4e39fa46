"""Lesson 00: the exercises accept right answers of another form, and no plausible wrong ones."""

import pytest
from helpers import ROOT

from segcourse.exercises import NotYet

LESSON = ROOT / "notebooks/00_start_here.ipynb"

COMPILE = "network.compile(keras.optimizers.Adam(3e-3), MaskedCrossEntropy(), jit_compile=False)\n"
FIT = "network.fit(image[None], labels[None], epochs=3, verbose=0)\n"
RIGHT_SHARE = "return np.mean(network.predict(image[None], verbose=0)[0].argmax(-1) == labels)"
COUNTS = "counts = np.stack([np.bincount(m.ravel(), minlength=classes) for m in labels])\n"
SEEN = "seen = (counts > 0).sum(0) * labels[0].size\n"
WRONG = [
    (0, "return 1.0"),
    (0, COMPILE + FIT + RIGHT_SHARE),  # too short
    (0, "network = small_network(11)\n" + COMPILE + FIT + RIGHT_SHARE),  # another network
    (0, COMPILE + FIT + RIGHT_SHARE.replace("np.mean", "np.sum")),  # pixels, not their share
    (1, "return mask[np.arange(height)[:, None] * mask.shape[0] // height, "
        "np.arange(width) * mask.shape[1] // width]"),  # the corner of a pixel, not its middle
    (1, "return np.array(Image.fromarray(mask.astype('uint8')).resize((width, height), 2), mask.dtype)"),
    (1, "return np.array(Image.fromarray(mask.astype('uint8')).resize((height, width), 0), mask.dtype)"),
    (1, "return np.array(Image.fromarray(mask.astype('uint8')).resize((width, height), 0)).astype(int)"),
    (2, "return 2 * iou"),
    (2, "return iou / (2 - iou)"),  # the other way round
    (2, "return (1 + iou) / 2"),
    (2, "return 2 * iou / (1 + 2 * iou)"),
    (3, COUNTS + "share = counts.sum(0) / labels.size\nw = np.zeros(classes)\np = share > 0\n"
        "w[p] = np.median(share[p]) / share[p]\nreturn w"),  # all pictures count
    (3, COUNTS + SEEN + "share = counts.sum(0) / np.maximum(seen, 1)\n"
        "return np.median(share) / np.maximum(share, 1e-9) * (share > 0)"),  # 0 is in the median
    (3, COUNTS + SEEN + "share = counts.sum(0) / np.maximum(seen, 1)\n"
        "return np.where(share > 0, 1 / np.maximum(share, 1e-9), 0)"),  # no median
    (3, COUNTS + SEEN + "share = counts.sum(0) / np.maximum(seen, 1)\np = share > 0\n"
        "return np.where(p, np.median(share[p]) / np.maximum(share, 1e-9), 1)"),  # weight of the absent class
]  # fmt: skip
RIGHT = [
    (0, "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)\n"
        "network.compile(keras.optimizers.Adam(3e-3), loss)\n"
        "for _ in range(100):\n    network.train_on_batch(image[None], labels[None])\n"
        "guess = np.asarray(network(image[None], training=False)).argmax(-1)\n"
        "return float((guess[0] == labels).sum() / labels.size)"),
    (1, "r, c = mask.shape[0] / height, mask.shape[1] / width\n"
        "out = np.empty((height, width), mask.dtype)\nfor i, j in np.ndindex(height, width):\n"
        "    out[i, j] = mask[int((i + 0.5) * r), int((j + 0.5) * c)]\nreturn out"),
    (1, "return np.array(Image.fromarray(mask.astype('uint8')).resize((width, height), 0), mask.dtype)"),
    (2, "return 2 / (1 + 1 / iou)"),
    (2, "return 1 - (1 - iou) / (1 + iou)"),
    (3, "share = {}\nfor c in range(classes):\n    having = [m for m in labels if (m == c).any()]\n"
        "    if having:\n        share[c] = np.mean([np.mean(m == c) for m in having])\n"
        "middle = np.median(list(share.values()))\n"
        "return [middle / share[c] if c in share else 0 for c in range(classes)]"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "body"), RIGHT)
def test_a_right_answer_of_another_form_is_accepted(answer, number, body):
    answer(number, body)


@pytest.mark.parametrize(("number", "body"), WRONG)
def test_a_plausible_wrong_answer_is_not(answer, number, body):
    with pytest.raises(NotYet):
        answer(number, body)
