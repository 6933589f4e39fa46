"""A copy of a network that predicts faster: batch normalisation goes into the convolution before it.

In prediction a batch normalisation only scales and shifts each channel, and a convolution is linear. One
convolution with another kernel and bias gives the same result without the pass over the feature map, and
TensorFlow then runs the ReLU that follows within the same kernel.
"""

import weakref

import keras
from keras import ops

# The scale [C] of the output channels, in a shape that a kernel can be multiplied with.
_KERNEL_SCALE = {
    keras.layers.Conv2D: lambda scale, kernel: scale,  # [h, w, in, C]
    keras.layers.Conv2DTranspose: lambda scale, kernel: scale[:, None],  # [h, w, C, in]
    keras.layers.DepthwiseConv2D: lambda scale, kernel: ops.reshape(
        scale, kernel.shape[2:]
    ),  # [h, w, in, C/in]
}
_copies: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def folded(model: keras.Model) -> keras.Model:
    """The network for prediction alone: the same logits up to rounding, in less time.

    Convolutions of a "mixed_bfloat16" network also keep their weights in bfloat16 here, so that they are
    converted once and not for every batch. Another call with the same model gives the same copy, with the
    weights of that moment.

    Args:
        model: any model; it is left as it is.

    Returns:
        A copy that is not to be trained; or `model` itself where nothing would be faster, or where it is no
        `keras.Model(inputs, outputs)`.
    """
    if model not in _copies:
        _copies[model] = _copy(model)
    copy, pairs = _copies[model]
    if copy is None:
        return model
    for layer in model.layers:
        if layer in pairs:
            _fold(layer, pairs[layer], copy.get_layer(layer.name))
        elif layer.weights and layer not in pairs.values():
            for target, source in zip(copy.get_layer(layer.name).weights, layer.weights, strict=True):
                target.assign(source)
    return copy


def _copy(model):
    """The copy, its weights not yet set, and the folded pairs; (None, {}) if there is nothing to gain."""
    if not hasattr(model, "operations"):
        return None, {}
    # Not compiled: `clone_model` would build the optimizer again.
    graph = keras.Model(model.input, model.output)
    pairs = _pairs(graph)
    mixed = [layer for layer in graph.layers if _is_mixed_convolution(layer)]
    # A class of somebody's own may compute more than its graph of layers.
    if type(model) is not type(graph) or not (pairs or mixed):
        return None, {}
    left_out = {layer.name for layer in pairs.values()}

    def clone(layer):
        config = layer.get_config()
        if layer in pairs:
            config["use_bias"] = True
        if layer in mixed:
            config["dtype"] = "bfloat16"
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in left_out else layer(*args, **kwargs)

    return keras.models.clone_model(graph, clone_function=clone, call_function=call), pairs


def _pairs(graph):
    """What can be folded: dict convolution -> the batch normalisation that reads it and nothing else does."""
    nodes = [(op, node) for op in graph.operations for node in op._inbound_nodes]
    maker = {id(tensor): op for op, node in nodes for tensor in node.output_tensors}
    read = [id(tensor) for _, node in nodes for tensor in node.input_tensors]
    read += [id(tensor) for tensor in graph.outputs]
    pairs = {}
    for op, node in nodes:
        if isinstance(op, keras.layers.BatchNormalization) and op.axis in (-1, 3):
            source = maker[id(node.input_tensors[0])]
            once = len(op._inbound_nodes) == len(source._inbound_nodes) == 1
            if once and _is_linear_convolution(source) and read.count(id(node.input_tensors[0])) == 1:
                pairs[source] = op
    return pairs


def _is_linear_convolution(op):
    known = type(op) in _KERNEL_SCALE and op.data_format == "channels_last"
    return known and op.activation is keras.activations.linear


def _is_mixed_convolution(layer):
    return type(layer) in _KERNEL_SCALE and layer.dtype_policy.name == "mixed_bfloat16"


def _fold(convolution, normalization, target):
    """Give `target`, a convolution with a bias, the weights that do the work of both layers."""
    mean, variance = normalization.moving_mean, normalization.moving_variance
    scale = ops.rsqrt(variance + normalization.epsilon)
    if normalization.scale:
        scale = scale * normalization.gamma
    bias = (convolution.bias - mean if convolution.use_bias else -mean) * scale
    if normalization.center:
        bias = bias + normalization.beta
    kernel = convolution.kernel
    target.kernel.assign(kernel * _KERNEL_SCALE[type(convolution)](scale, kernel))
    target.bias.assign(bias)
