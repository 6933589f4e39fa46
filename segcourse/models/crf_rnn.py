"""Generated from notebooks/03_crf_as_rnn.ipynb. Edit the lesson, then run make export.

Lesson 03 · CRF as RNN: inference becomes a layer.
"""

import keras

from segcourse.layers.crf.recurrent import MeanFieldRNN
from segcourse.models.fcn import fcn8s

LEARNED_UPSAMPLING = {"upscore_to_pool4": {"use_bias": True}, "upscore_to_pool3": {}}  # fixed in FCN-8s


def _learnable(layer):
    """The same layer, but two of the three upsamplings are trained, one of them with a bias."""
    config = layer.get_config()
    if layer.name in LEARNED_UPSAMPLING:
        config |= {"trainable": True, **LEARNED_UPSAMPLING[layer.name]}
    return type(layer).from_config(config)


def without_crf(model):
    """The network before the CRF as a model of its own; both share their weights."""
    return keras.Model(model.input, model.get_layer("logits").output, name=f"{model.name}_without_crf")


def start_from_fcn8s(model, fcn):
    """Give a `crf_rnn` the weights of a trained `fcn8s` of its width; CRF and new bias keep theirs."""
    for layer in fcn.layers:
        if values := layer.get_weights():
            target = model.get_layer(layer.name)
            target.set_weights([*values, *target.get_weights()[len(values) :]])


def crf_rnn(
    input_shape=(None, None, 3),
    classes=21,
    width=1.0,
    crf=None,
    weights=None,
    padding="valid",
    fc6_size=7,
    dropout=0.5,
):
    """CRF-as-RNN: FCN-8s and mean field as one network, trained end to end (Zheng et al. 2015).

    Args:
        input_shape: (H, W, 3), from 32 up or None. RGB, for the CRF compares colors.
        classes, width, padding, fc6_size, dropout, weights: as for `fcn8s`; the defaults are the paper's.
        crf: dict of arguments for `MeanFieldRNN`, such as `{"sigma_xy": 40.0}`; the defaults are the paper's
            iterations, and the released code's bandwidths and weights for images of about 500x500 pixels.

    Returns:
        keras.Model: images [B, H, W, 3] 0..255 to float32 logits [B, H, W, C]. 134,378,207 trainable weights
        by default. Its layer "logits" is the network before the CRF, its layer "crf" the `MeanFieldRNN`.
        An image that is too small or not RGB raises ValueError, and so does an unknown option.
    """
    fcn = fcn8s(input_shape, classes, width, padding, fc6_size, dropout, weights)
    network = keras.models.clone_model(fcn, clone_function=_learnable)
    if weights:
        start_from_fcn8s(network, fcn)
    refined = MeanFieldRNN(name="crf", **(crf or {}))([network.output, network.input])
    return keras.Model(network.input, refined, name="crf_rnn")
