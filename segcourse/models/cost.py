"""What a network costs at a given size: weights, multiply-adds, activations, receptive field.

How papers count differs by a factor of two: one multiply-add is one multiplication and the addition that
follows it. "GFLOPs" are multiply-adds in some tables (VGG16 at 224x224: 15.5) and twice as many in others
(SegNet at 360x640: 286; so do Siam et al. 2018 and Paszke et al. 2016). Here multiply-adds are counted:

- a convolution: output positions x numbers in the kernel, those that meet the padding's zeros included; the
  holes of an atrous kernel are no numbers;
- a transposed convolution: input positions x numbers in the kernel, also where the kernel is fixed;
- a depthwise or grouped convolution, a dense layer: as a convolution, by the numbers in the kernel;
- local response normalization: its sum over channels, which is a 1x1 convolution;
- mean field: the Gaussian along rows and columns, the three matrices of the classes, and the way of each
  pixel into the lattice and out of it (6 corners), for every iteration in prediction. Steps from lattice
  point to lattice point are left out, for their number depends on the picture;
- everything else is 0: biases, activations, batch normalization (folded into the convolution in prediction),
  pooling, unpooling, enlarging, adding, cropping.
"""

import math
from dataclasses import dataclass

import keras
from keras import layers

from segcourse.layers.alignment import Crop
from segcourse.layers.crf.recurrent import MeanFieldRNN
from segcourse.layers.crf.spatial import gaussian_taps
from segcourse.layers.l2_normalization import L2Normalization
from segcourse.layers.local_response import LocalResponseNormalization
from segcourse.layers.padding import PadToGrid
from segcourse.layers.unpooling import MaxPoolingWithIndices2D, MaxUnpooling2D
from segcourse.layers.valid_size import ValidSize
from segcourse.models.parsenet import Unpool

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
# A value of the result depends on the values at the same place, whatever the other places hold.
_POINTWISE = (
    *(layers.Rescaling, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.Softmax),
    *(layers.Dropout, layers.SpatialDropout2D, layers.BatchNormalization, layers.Dense),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Concatenate),
    *(LocalResponseNormalization, L2Normalization, ValidSize, PadToGrid, Unpool),
)
# A value of the result depends on the whole map.
_GLOBAL = (
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Flatten, layers.Reshape),
    MeanFieldRNN,
)
_EVERYTHING = (-math.inf, math.inf)
_LATTICE_CORNERS = 6  # a simplex in the five dimensions of place and colour


@dataclass(frozen=True)
class LayerCost:
    """One call of a layer; the size is that of a single image.

    Attributes:
        name, kind: of the layer.
        output: shape of its (first) output, without the batch axis.
        parameters, trainable_parameters: its weights; 0 when an earlier call has counted them.
        multiply_adds: as the module says.
        activations: bytes of its outputs.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    activations: int


@dataclass(frozen=True)
class Profile:
    """What `profile` found; `print` it for a table of the layers.

    Attributes:
        name: of the network.
        size: (height, width) of the image.
        layers: a `LayerCost` for each, from the image to the logits.
        receptive_field: (height, width) in pixels of the part of the image that the middle logit depends on
            in prediction, as if the image had no border; `math.inf` where a global operation (pooling over
            the whole map, a dense layer after flattening, mean field) makes it the whole image. Where maps
            are coarser than the image, neighbouring logits can differ by some pixels.
    """

    name: str
    size: tuple[int, int]
    layers: tuple[LayerCost, ...]
    receptive_field: tuple[float, float]

    @property
    def parameters(self) -> int:
        """All weights, those that are not trained included."""
        return self._sum("parameters")

    @property
    def trainable_parameters(self) -> int:
        """The weights that a training changes."""
        return self._sum("trainable_parameters")

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image."""
        return self._sum("multiply_adds")

    @property
    def activations(self) -> int:
        """Bytes of all maps of one image: what a training keeps until the gradients have come back.

        Every output counts once. A framework may keep less (a ReLU that overwrites its input) or more (its
        work space), so this compares networks; it does not predict the memory of a process.
        """
        return self._sum("activations")

    def _sum(self, what):
        return sum(getattr(layer, what) for layer in self.layers)

    def table(self, least: float = 0.01) -> str:
        """The layers and their shares as text; those below the share `least` everywhere come as one line."""
        sums = [max(1, self._sum(what)) for what in _COLUMNS]
        rows = [[getattr(layer, what) for what in _COLUMNS] for layer in self.layers]
        large = [max(n / total for n, total in zip(row, sums, strict=True)) >= least for row in rows]
        lines = [f"{'layer':24}{'output':>16}" + "".join(f"{head:>20}" for head in _COLUMNS.values())]
        for layer, row, shown in zip(self.layers, rows, large, strict=True):
            if shown:
                lines.append(_line(layer.name, "x".join(map(str, layer.output)), row, sums))
        rest = [row for row, shown in zip(rows, large, strict=True) if not shown]
        if rest:
            together = [sum(column) for column in zip(*rest, strict=True)]
            lines.append(_line(f"{len(rest)} smaller ones", "", together, sums))
        return "\n".join([*lines, _line("sum", "", [self._sum(what) for what in _COLUMNS], sums)])

    def __str__(self):
        height, width = ("all" if math.isinf(side) else f"{side:.0f}" for side in self.receptive_field)
        return (
            f"{self.name} at {self.size[0]}x{self.size[1]}: {self.parameters:,} weights "
            f"({self.trainable_parameters:,} trained), {self.multiply_adds / 1e9:.3f} G multiply-adds, "
            f"{self.activations / 1e6:.1f} MB of maps,\n"
            f"receptive field of the middle logit: {height} x {width} pixels\n\n{self.table()}"
        )


_COLUMNS = {"parameters": "weights", "multiply_adds": "multiply-adds", "activations": "bytes of maps"}


def _line(name, output, numbers, sums):
    shares = (f"{n:>13,} {n / total:6.1%}" for n, total in zip(numbers, sums, strict=True))
    return f"{name[:23]:24}{output:>16}" + "".join(shares)


def profile(model: keras.Model, size: tuple[int, int]) -> Profile:
    """Count what a network costs for one image.

    Args:
        model: a `keras.Model(inputs, outputs)`; it is left as it is, and no weight is created.
        size: (height, width) of the image, also for a network that takes any size.

    Returns:
        A `Profile`.

    Raises:
        ValueError: there is a layer that this module does not know; the message names it.
    """
    calls, inputs, output = _calls(model, size)
    found, seen = [], set()
    for layer, sources, results in calls:
        weights = [] if id(layer) in seen else layer.weights
        seen.add(id(layer))
        found.append(
            LayerCost(
                name=layer.name,
                kind=type(layer).__name__,
                output=tuple(results[0].shape[1:]),
                parameters=_numbers(weights),
                trainable_parameters=_numbers([w for w in weights if w.trainable]),
                multiply_adds=_multiply_adds(layer, sources, results[0].shape),
                activations=sum(_bytes(tensor) for tensor in results),
            )
        )
    field = tuple(_receptive_field(calls, inputs, output, axis) for axis in (0, 1))
    return Profile(model.name, tuple(size), tuple(found), field)


def _numbers(weights):
    return sum(math.prod(weight.shape) for weight in weights)


def _bytes(tensor):
    return math.prod(tensor.shape[1:]) * {"float16": 2, "bfloat16": 2, "uint8": 1}.get(str(tensor.dtype), 4)


def _calls(model, size):
    """The calls of a copy of the network for one image of this size, in order.

    Returns:
        list of (layer, its inputs, its outputs), then the inputs and the first output of the network; all
        are symbolic tensors with batch 1.
    """
    calls = []

    def call(layer, *args, **kwargs):
        results = layer(*args, **kwargs)
        sources = [t for t in keras.tree.flatten((args, kwargs)) if isinstance(t, keras.KerasTensor)]
        calls.append((layer, sources, keras.tree.flatten(results)))
        return results

    def image(tensor):
        return keras.Input(batch_shape=(1, *size, tensor.shape[-1]), dtype=tensor.dtype, name=tensor.name)

    graph = keras.Model(model.input, model.output)  # not compiled: a copy would get an optimizer as well
    inputs = keras.tree.map_structure(image, graph.input)
    with keras.StatelessScope(initialize_variables=False):  # nobody needs the values of the copy's weights
        copy = keras.models.clone_model(graph, inputs, clone_function=_copy, call_function=call)
    images = [(tensor._keras_history.operation, [], [tensor]) for tensor in keras.tree.flatten(inputs)]
    return images + calls, keras.tree.flatten(inputs), keras.tree.flatten(copy.outputs)[0]


def _copy(layer):
    known = (*_CONVOLUTIONS, layers.Conv2DTranspose, *_POOLINGS, *_POINTWISE, *_GLOBAL, *_MOVES)
    if not isinstance(layer, known):
        raise ValueError(
            f"profile does not know the layer {layer.name!r} ({type(layer).__name__}). Add its class to the "
            "lists in segcourse/models/cost.py: what it multiplies, and which pixels a result depends on."
        )
    return type(layer).from_config(layer.get_config())


def _multiply_adds(layer, sources, output):
    """Multiply-adds of one call; `output` is the shape [1, H, W, C] or [1, C]."""
    positions = math.prod(output[1:-1])
    if isinstance(layer, layers.Conv2DTranspose):
        return math.prod(sources[0].shape[1:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.SeparableConv2D):
        return positions * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
        return positions * math.prod(layer.kernel.shape)
    if isinstance(layer, LocalResponseNormalization):
        return positions * output[-1] ** 2
    if isinstance(layer, MeanFieldRNN):
        taps = sum(len(gaussian_taps(layer.sigma_spatial, side)) for side in output[1:3])
        one_value = taps + 3 * output[-1] + 2 * _LATTICE_CORNERS
        return layer.iterations * math.prod(output[1:]) * one_value
    return 0


def _receptive_field(calls, inputs, output, axis):
    """Pixels along an axis (0: down, 1: across) that the middle of the output depends on.

    The output's middle pixel is followed back to the image: for every map, the first and the last pixel that
    it depends on, as if the maps had no border.
    """
    if len(output.shape) != 4:
        return math.inf
    middle = output.shape[1 + axis] // 2
    needed = {id(output): (middle, middle)}
    for layer, sources, results in reversed(calls):
        spans = [needed[id(tensor)] for tensor in results if id(tensor) in needed]
        if not spans:
            continue
        for i, tensor in enumerate(sources):
            if isinstance(layer, Crop | MaxUnpooling2D | Unpool) and i == len(sources) - 1:
                continue  # of this map only the size is used
            span = _span_before(layer, tensor, results[0], axis, _union(spans))
            needed[id(tensor)] = _union([span, needed.get(id(tensor), span)])
    spans = [needed[id(tensor)] for tensor in inputs if id(tensor) in needed]
    first, last = _union(spans)
    return last - first + 1


def _union(spans):
    return min(first for first, _ in spans), max(last for _, last in spans)


def _span_before(layer, source, result, axis, span):
    """The pixels of a layer's input on which the pixels `span` (first, last) of its output depend."""
    if isinstance(layer, _GLOBAL) or math.isinf(span[0]):
        return _EVERYTHING
    if isinstance(layer, _POINTWISE):
        return span
    for kind, rule in _MOVES.items():
        if isinstance(layer, kind):
            return rule(layer, source.shape[1 + axis], result.shape[1 + axis], axis, *span)
    return _window(layer, source.shape[1 + axis], axis, *span)


def _window(layer, side, axis, first, last):
    """A convolution or pooling: `kernel` taps, `dilation` apart, every `stride` pixels."""
    pooling = isinstance(layer, _POOLINGS)
    kernel = (layer.pool_size if pooling else layer.kernel_size)[axis]
    reach = (kernel - 1) * (1 if pooling else layer.dilation_rate[axis])
    stride, pad = layer.strides[axis], 0
    if layer.padding == "same":
        pad = max((math.ceil(side / stride) - 1) * stride + reach + 1 - side, 0) // 2
    return first * stride - pad, last * stride - pad + reach


def _transposed(layer, side, result, axis, first, last):
    """Pixel i of the input goes to the pixels i x stride - pad and the `reach` that follow."""
    reach = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis]
    stride = layer.strides[axis]
    pad = max(reach + 1 - stride, 0) // 2 if layer.padding == "same" else 0
    return math.ceil((first + pad - reach) / stride), (last + pad) // stride


def _enlarged(layer, side, result, axis, first, last):
    scale = side / result
    if layer.interpolation == "nearest":
        return math.floor(first * scale), math.floor(last * scale)
    return math.floor((first + 0.5) * scale - 0.5), math.ceil((last + 0.5) * scale - 0.5)


def _cropped(layer, side, result, axis, first, last):
    offset = layer.offset if isinstance(layer, Crop) else layer.cropping[axis][0]
    return first + offset, last + offset


def _padded(layer, side, result, axis, first, last):
    before = layer.padding[axis][0]
    return first - before, last - before


def _paired(layer, side, result, axis, first, last):
    return 2 * first, 2 * last + 1


def _unpaired(layer, side, result, axis, first, last):
    return first // 2, last // 2


# Layers whose results depend on other pixels than a window's.
_MOVES = {
    layers.Conv2DTranspose: _transposed,
    layers.UpSampling2D: _enlarged,
    layers.Resizing: _enlarged,
    layers.Cropping2D: _cropped,
    Crop: _cropped,
    layers.ZeroPadding2D: _padded,
    MaxPoolingWithIndices2D: _paired,
    MaxUnpooling2D: _unpaired,
}
