"""The course's U-Net, set up as the course sets up every network. Run by `run.py`, with its Python."""

import sys

import keras
import numpy as np
from worker import BATCH_NORM_EPSILON, CLASSES, LEARNING_RATE, batch, serve

from segcourse import prediction, training
from segcourse.losses import MaskedCrossEntropy
from segcourse.models.unet import unet


def build(width, precision):
    training.set_seed(0)
    with training.precision({"fp32": "float32", "bf16": "mixed_bfloat16"}[precision]):
        model = unet((None, None, 3), CLASSES, width, padding="same", normalization="batch", dropout=0.0)
    training.compile(model, keras.optimizers.Adam(LEARNING_RATE), MaskedCrossEntropy())
    model.optimizer.build(model.trainable_variables)
    return model


def statistics_of_its_own(model):
    """Give the batch normalisations statistics and scales at which an error would show."""
    random = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.epsilon == BATCH_NORM_EPSILON
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.weights])


def reference(model, path):
    """Write weights, logits and the losses of two training steps, for `peer.py` to be held against."""
    statistics_of_its_own(model)
    weights = {weight.path: weight for layer in model.layers for weight in layer.weights}
    arrays = {path: keras.ops.convert_to_numpy(weight) for path, weight in weights.items()}
    images, labels = batch()
    logits = model.predict_on_batch(images)
    folded = prediction.folded(model).predict_on_batch(images)
    losses = [float(model.train_on_batch(images, labels)) for _ in range(2)]
    np.savez(path, logits=logits, folded=folded, losses=losses, **arrays)


def main(width, precision, mode, argument):
    model = build(float(width), precision)
    if mode == "reference":
        return reference(model, argument)
    images, labels = batch()
    if mode == "training":
        step = lambda: model.train_on_batch(images, labels)  # noqa: E731
    else:
        network = prediction.folded(model)
        network.jit_compile = training.jit_compile()
        step = lambda: network.predict_on_batch(images)  # noqa: E731
    weights = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    serve(step, {"weights": weights, **training.environment()["packages"]})


if __name__ == "__main__":
    main(*sys.argv[1:])
