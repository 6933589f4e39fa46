"""Generated from notebooks/01_fcn.ipynb. Edit the lesson, then run make export.

Lesson 01 · FCN: a classifier that labels every pixel.
"""

import math


def transplant(source, target):
    """Copy weights from one network to another, by the layers' names; a dense kernel becomes a convolution.

    Layers of `source` that `target` lacks are left behind (fc8), and scoring layers that `source` lacks keep
    their fresh weights. Any other layer of the target that has no counterpart, or one of another size, is a
    ValueError, and nothing is copied then.
    """
    sources = {layer.name: layer for layer in source.layers if layer.weights}
    copies = []
    for layer in (layer for layer in target.layers if layer.weights):
        shapes = [tuple(w.shape) for w in layer.weights]
        if layer.name in sources:
            values = sources[layer.name].get_weights()
            if [v.size for v in values] != [math.prod(s) for s in shapes]:
                got = [v.shape for v in values]
                raise ValueError(
                    f"Layer {layer.name!r}: {source.name} has weights {got}, {target.name} needs {shapes}."
                )
            copies.append((layer, [v.reshape(s) for v, s in zip(values, shapes, strict=True)]))
        elif not layer.name.startswith(("score", "upscore")):
            raise ValueError(f"{source.name} has no layer {layer.name!r}, which {target.name} needs.")
    for layer, values in copies:
        layer.set_weights(values)
