"""The ImageNet weights of VGG16 that Keras distributes: where they come from, and which colour is first."""

import keras


def keras_vgg16() -> keras.Model:
    """Keras' own VGG16 with ImageNet's weights, which Keras downloads once into its own cache.

    Raises:
        RuntimeError: if the weights are neither in Keras' cache nor within reach.
    """
    try:
        return keras.applications.VGG16(weights="imagenet")
    except Exception as error:
        raise RuntimeError(
            "The ImageNet weights of VGG16 are not in Keras' cache and could not be downloaded: "
            "connect to the internet once, or train from scratch with weights=None."
        ) from error


def copy_with_red_first(source: keras.Model, target: keras.Model) -> keras.Model:
    """Copy all weights of `source` to `target`, layer by layer, and turn the first kernel's colours round.

    Keras keeps Caffe's weights, which expect blue first; `target` expects red first. Returns `target`.
    """
    theirs, ours = ([layer for layer in model.layers if layer.weights] for model in (source, target))
    for given, taken in zip(theirs, ours, strict=True):
        taken.set_weights(given.get_weights())
    kernel, bias = ours[0].get_weights()
    ours[0].set_weights([kernel[:, :, ::-1, :], bias])
    return target
