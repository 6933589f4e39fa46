"""What keeps an operator off a mobile GPU, or makes the GPU compute it wrongly.

Each rule was found by running small files on LiteRT's GPU delegate (ai-edge-litert 2.3), and each has a
pair of files in `tests/tflite_forms.py`: one that the delegate computes as the CPU does, and one that it
refuses or computes wrongly. Axes below are those of [batch, height, width, channels].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from math import ceil

import numpy as np

from segcourse.tflite.graph import Graph, Node, Tensor

# Each of these ran whole and with the CPU's values in a small file that asked just this; the rules below name
# the forms of them that do not.
_RAN = """
    ABS ADD ADD_N ARG_MAX ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS CUMSUM
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD
    FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD
    RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT
    SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE
    STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV UNPACK
"""
GPU_OPERATORS = frozenset(_RAN.split())
GPU_DTYPES = frozenset({"float32", "float16", "int32", "int8", "uint8", "bool"})
# The highest version that the delegate takes, of the operators that have a higher one.
VERSIONS = {
    **dict.fromkeys(("RELU", "RELU6", "LOGISTIC", "TANH", "RSQRT", "SUB", "STRIDED_SLICE"), 2),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), 2),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"), 3),
    **dict.fromkeys(("PAD", "PADV2"), 5),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION"), 6),
}
TEXTURE_ROWS = 8192  # WebGPU's guaranteed maxTextureDimension2D
LOWEST = -1e4  # the delegate's max-pooling starts from this instead of minus infinity
SAME = 0  # schema.Padding.SAME
FIXES = {
    "SPACE_TO_BATCH_ND": "give the signature a fixed batch of 1 (convert does): dilation then stays inside "
    "CONV_2D",
    "BATCH_TO_SPACE_ND": "give the signature a fixed batch of 1 (convert does): dilation then stays inside "
    "CONV_2D",
    "SHAPE": "fix the input size (convert does) and compute sizes in Python, not in the graph",
    "L2_NORMALIZATION": "write x * rsqrt(sum(square(x)) + epsilon)",
    "LOG_SOFTMAX": "leave it out: the largest logit is the label",
    "BROADCAST_TO": "let ADD or MUL broadcast, or resize bilinearly from 1x1",
    "SQUEEZE": "reshape instead (convert does)",
    "EXPAND_DIMS": "reshape instead (convert does)",
}
BY_CONVERT = "write the file with convert, which repairs this"
COMMUTATIVE = frozenset(
    {"ADD", "MUL", "MAXIMUM", "MINIMUM", "EQUAL", "NOT_EQUAL", "LOGICAL_AND", "LOGICAL_OR"}
)
BINARY = COMMUTATIVE | frozenset(
    {
        *("SUB", "DIV", "POW", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD", "ATAN2"),
        *("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"),
    }
)
_UNARY = """
    ABS CEIL COS ELU EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC NEG RELU RELU6 RELU_N1_TO_1 ROUND
    RSQRT SIGN SIN SQRT SQUARE TANH
"""
UNARY = frozenset(_UNARY.split())
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
POOLINGS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
_FLOAT = """
    CUMSUM MEAN MIRROR_PAD PAD PADV2 POW RESIZE_NEAREST_NEIGHBOR SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE
"""
FLOAT_ONLY = frozenset(_FLOAT.split())

Finding = tuple[str, str] | None  # (reason, fix)


@dataclass(frozen=True)
class Problem:
    """What a mobile GPU does not take or computes wrongly; `count` operators do it, one is at `where`."""

    operator: str
    reason: str
    fix: str
    where: str
    count: int = 1

    def __str__(self):
        times = f" ({self.count}x)" if self.count > 1 else ""
        return f"{self.operator}{times}: {self.reason}. Fix: {self.fix}. At {self.where}"


def problems(graph: Graph) -> Iterator[Problem]:
    """Every finding of every rule, in the order of the operators."""
    for name, tensor in graph.signature("inputs").items():
        if None in tensor.shape:
            yield Problem(
                "input",
                f"shape {[*tensor.shape]} is not fixed; a GPU's memory is laid out for one shape, with 1 for "
                "what is open, and anew after each resize",
                "convert(..., input_size=(H, W)): batch 1 and one file per size",
                name,
            )
    for node in graph.nodes:
        for rule in RULES:
            found = rule(node, graph)
            if found:
                yield Problem(node.operator, *found, where=node.outputs[0].name)


def of(*operators: str) -> Callable[[Callable], Callable]:
    """Decorator: a rule of these operators; it is not asked about others. One without it speaks of all."""

    def limited(rule):
        @wraps(rule)
        def checked(node: Node, graph: Graph) -> Finding:
            return rule(node, graph) if node.operator in operators else None

        checked.operators = frozenset(operators)
        return checked

    return limited


# What a GPU has


def unknown(node: Node, graph: Graph) -> Finding:
    """An operator that the delegate does not have."""
    if node.operator not in GPU_OPERATORS:
        return "the GPU delegate has no such operator", FIXES.get(
            node.operator, "use other layers, or run on the CPU"
        )


@of(*VERSIONS)
def version(node: Node, graph: Graph) -> Finding:
    """A newer version of an operator than the delegate knows, e.g. TRANSPOSE_CONV with fused ReLU."""
    highest = VERSIONS[node.operator]
    if node.version > highest:
        return f"version {node.version}; the GPU delegate takes {highest} at most", (
            BY_CONVERT if node.operator == "TRANSPOSE_CONV" else "write the file with an older TensorFlow"
        )


def rank(node: Node, graph: Graph) -> Finding:
    """A tensor of more than four axes."""
    ranks = [len(t.shape) for t in (*node.inputs, *node.outputs)]
    if max(ranks) > 4:
        return (
            f"a tensor of rank {max(ranks)}; a GPU takes 4 at most",
            "resize with keras.ops.image.resize(..., 'nearest') or bilinearly instead of "
            "UpSampling2D(interpolation='nearest'), normalise with BatchNormalization instead of "
            "GroupNormalization",
        )


def dtype(node: Node, graph: Graph) -> Finding:
    """A type that a GPU does not compute with."""
    refused = sorted({t.dtype for t in (*node.inputs, *node.outputs)} - GPU_DTYPES)
    if refused:
        return (
            f"{', '.join(refused)} tensors; a GPU takes {', '.join(sorted(GPU_DTYPES))}",
            "let convert(..., output='labels') write the argmax, or take it on the phone"
            if node.operator == "ARG_MAX"
            else "use float32",
        )


@of(*FLOAT_ONLY)
def float_only(node: Node, graph: Graph) -> Finding:
    """An operator that computes with floats alone."""
    if node.outputs[0].dtype in ("int32", "bool"):
        return f"{node.outputs[0].dtype} values; this operator takes float32", "cast to float32 before it"


def dynamic(node: Node, graph: Graph) -> Finding:
    """A shape that is computed while running, though the inputs have fixed ones."""
    if any(None in t.shape for t in node.outputs) and not any(
        None in t.shape for t in graph.signature("inputs").values()
    ):
        return "its output's shape is computed while running", "fix the sizes in Python, before conversion"


@of(*CONVOLUTIONS, *POOLINGS, "ADD", "SUB", "MUL", "DIV", "CONCATENATION")
def activation(node: Node, graph: Graph) -> Finding:
    """A fused activation that the delegate computes, or refuses, and LiteRT's CPU kernels leave out.

    `convert` writes none, and repairs none: there are no values to keep.
    """
    name = node.activation
    taken = ("NONE",) if node.operator == "CONCATENATION" else ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
    if name not in taken:
        return (
            f"the activation {name} inside, which the CPU leaves out without a word",
            "an activation layer of its own",
        )


# Convolution and pooling


@of("CONV_2D")
def groups(node: Node, graph: Graph) -> Finding:
    """Groups of channels: depthwise (1 -> 1), or multiples of 4 on both sides."""
    if node.inputs[1].dtype == "int4":
        return None
    filters, per_group = node.inputs[1].shape[0], node.inputs[1].shape[-1]
    count = (node.inputs[0].shape[-1] or per_group) // per_group
    made = filters // count
    if count > 1 and not per_group == made == 1 and (per_group % 4 or made % 4):
        return (
            f"{count} groups that read {per_group} and make {made} channels each; the delegate takes it "
            "and computes wrong values",
            "read and make a multiple of 4 channels per group, or use DepthwiseConv2D",
        )


@of("PAD", "PADV2")
def merged_padding(node: Node, graph: Graph) -> Finding:
    """Padding of height and width that the delegate merges into the one convolution or pooling behind it.

    There it becomes the operator's own padding: zeros in a convolution, ignored in a pooling.
    """
    if len(node.inputs[0].shape) != 4:
        return None
    amounts, value = graph.value(node.inputs[1]), _padding_value(node, graph)
    consumers = graph.readers(node.outputs[0])
    if amounts is None or value is None or len(consumers) != 1:
        return None
    if amounts[[0, 3]].any() or not amounts.any():
        return None
    behind = consumers[0]
    if behind.operator in CONVOLUTIONS and value != 0:
        what = f"padding with {value:g}, which becomes 0"
    elif behind.operator == "AVERAGE_POOL_2D" or (
        behind.operator == "MAX_POOL_2D"
        and not pooling_floor(node, graph)
        and not _never_counts(node, amounts, value, behind, graph)
    ):
        what = "padding, which the pooling then ignores"
    else:
        return None
    return (
        f"{what}: the delegate merges it into the {behind.operator} behind it and computes wrong values",
        f"pad with padding='same' in the layer itself, or {BY_CONVERT}",
    )


def _padding_value(node, graph):
    if node.operator == "PAD":
        return 0.0
    value = graph.value(node.inputs[2])
    return None if value is None else float(value)


def _never_counts(node, amounts, value, pooling, graph):
    """True if a max-pooling gives the same values whether it reads the padding or ignores it."""
    if not all(_sees_the_image(amounts, pooling, axis) for axis in (1, 2)):
        return False
    return value <= LOWEST or (value <= 0 and never_negative(node.inputs[0], graph))


def _sees_the_image(amounts, pooling, axis):
    """True if every window of the pooling has a pixel that is no padding, along this axis."""
    options = pooling.options
    kernel = (options.filterHeight, options.filterWidth)[axis - 1]
    stride = (options.strideH, options.strideW)[axis - 1]
    size, windows = pooling.inputs[0].shape[axis], pooling.outputs[0].shape[axis]
    own = max((windows - 1) * stride + kernel - size, 0) // 2 if options.padding == SAME else 0
    before = int(amounts[axis, 0]) + own
    image = size - int(amounts[axis].sum())
    return before < kernel and (windows - 1) * stride - before < image


def never_negative(tensor: Tensor, graph: Graph) -> bool:
    """True if an operator that makes no negative values made it, perhaps with moving or rounding behind."""
    node = graph.producer(tensor)
    if node is None or graph.is_constant(tensor):
        value = graph.value(tensor)
        return value is not None and bool((value >= 0).all())
    if node.operator in ("RELU", "RELU6", "ABS", "SQUARE", "SQRT", "EXP", "LOGISTIC", "SOFTMAX"):
        return True
    if node.activation in ("RELU", "RELU6"):
        return True
    keeping = (*POOLINGS, "CONCATENATION", "RESHAPE", "STRIDED_SLICE", "RESIZE_BILINEAR", "ADD", "MUL")
    if node.operator not in (*keeping, "ROUND", "FLOOR", "CEIL"):
        return False
    return all(never_negative(t, graph) for t in node.inputs if t.dtype == "float32")


@of("PADV2")
def pooling_floor(node: Node, graph: Graph) -> Finding:
    """Max-pooling starts from -10,000: where a window has nothing but less, that comes out."""
    if len(node.inputs[0].shape) != 4:
        return None
    amounts, value = graph.value(node.inputs[1]), _padding_value(node, graph)
    if amounts is None or value is None or value >= LOWEST:
        return None
    poolings = [n for n in graph.readers(node.outputs[0]) if n.operator == "MAX_POOL_2D"]
    if any(amounts[3].any() or not _sees_the_image(amounts, n, axis) for n in poolings for axis in (1, 2)):
        return f"{value:g} before a max-pooling, which starts from {LOWEST:g}", "pad with a smaller number"


@of("TRANSPOSE_CONV")
def upsampling_padding(node: Node, graph: Graph) -> Finding:
    """The delegate pads a transposed convolution as if it were a convolution of the same input."""
    if node.options.padding != SAME:
        return None
    for axis in (1, 2):
        size, made = node.inputs[2].shape[axis], node.outputs[0].shape[axis]
        kernel = node.inputs[1].shape[axis]
        stride = (node.options.strideH, node.options.strideW)[axis - 1]
        if size is None or made is None:
            continue
        cut, taken = (max((ceil(n / stride) - 1) * stride + kernel - n, 0) // 2 for n in (made, size))
        if taken != cut:
            return (
                f"kernel {kernel}, stride {stride} and 'same' padding from {size} to {made} pixels; the "
                f"delegate cuts off {taken} pixels instead of {cut} and computes wrong values",
                f"Conv2DTranspose(padding='valid') followed by Cropping2D({cut}), or {BY_CONVERT}",
            )


@of("TRANSPOSE_CONV")
def large_kernel(node: Node, graph: Graph) -> Finding:
    """A transposed convolution's kernel takes a texture row per position and four input channels."""
    _, height, width, channels = node.inputs[1].shape
    rows = height * width * ceil(channels / 4)
    if rows > TEXTURE_ROWS:
        return (
            f"a {height}x{width} kernel over {channels} channels needs a texture of {rows} rows; WebGPU has "
            f"{TEXTURE_ROWS}",
            "upsample in two smaller steps, or bilinearly with UpSampling2D",
        )


# Arithmetic


@of(*BINARY - {"ADD", "MUL"}, "BATCH_MATMUL", "SELECT", "SELECT_V2")
def twins(node: Node, graph: Graph) -> Finding:
    """One activation twice among the operands; ADD, MUL and CONCATENATION take that."""
    operands = [tensor for tensor in node.inputs if not graph.is_constant(tensor)]
    if len(set(operands)) < len(operands):
        return "one tensor as two operands", f"compute the result directly, or {BY_CONVERT}"


@of(*BINARY - FLOAT_ONLY - {"ATAN2"})
def integer_constants(node: Node, graph: Graph) -> Finding:
    """Of int32 or bool: a constant is read as rank 4 from the front, and always as the right operand."""
    if node.inputs[0].dtype not in ("int32", "bool"):
        return None
    for side, tensor in enumerate(node.inputs):
        if not graph.is_constant(tensor) or tensor.size == 1:
            continue
        if side == 0 and node.operator not in COMMUTATIVE:
            return (
                f"a constant of {tensor.dtype} on the left; the delegate exchanges the operands",
                "compute in float32",
            )
        if len(tensor.shape) < 4 and tensor.shape[0] > 1:
            return (
                f"a constant of {tensor.dtype} and shape {[*tensor.shape]}; the delegate misreads it",
                f"give it four axes, as in [1, 1, 1, C], or {BY_CONVERT}",
            )


@of(*BINARY - {"LOGICAL_AND", "LOGICAL_OR"})
def batch_constants(node: Node, graph: Graph) -> Finding:
    """The first axis of rank 1 to 3 is the batch of a tensor, yet of a constant the last but channels."""
    if node.outputs[0].dtype not in ("float32", "bool"):
        return None
    axes = len(node.outputs[0].shape)
    for tensor in node.inputs:
        if graph.is_constant(tensor) and axes == len(tensor.shape) < 4 and tensor.shape[0] > 1:
            return (
                f"a constant of shape {[*tensor.shape]} with a tensor of {axes} axes; the delegate takes the "
                "wrong axes together",
                f"keep four axes, as in [1, H, W, C], or {BY_CONVERT}",
            )


@of("POW")
def powers(node: Node, graph: Graph) -> Finding:
    """A single number as base is taken for the exponent where there is a shortcut for that exponent.

    A negative base is undefined on a GPU; it works for even exponents, and for a single 3.
    """
    base, exponent = (graph.value(t) for t in node.inputs)
    if base is not None and base.size == 1 and float(base.ravel()[0]) in (1.5, 2.0, 3.0):
        number = float(base.ravel()[0])
        return (
            f"{number:g}**x; the delegate computes x**{number:g}",
            f"ops.exp(x * {np.log(number):.6f}), or {BY_CONVERT}",
        )
    if exponent is None or never_negative(node.inputs[0], graph) or base is not None:
        return None
    odd = exponent[exponent % 2 == 1]
    if odd.size and not (exponent.size == 1 and odd.ravel()[0] == 3):
        return f"x**{odd.ravel()[0]:g} of numbers that may be negative", "multiply x with itself"


@of("LEAKY_RELU")
def leaky(node: Node, graph: Graph) -> Finding:
    """LeakyReLU is computed as max(x, slope * x)."""
    if not 0 <= node.options.alpha <= 1:
        return (
            f"a slope of {node.options.alpha:g}; the delegate computes max(x, slope * x)",
            "PReLU with this slope",
        )


@of("PRELU")
def prelu(node: Node, graph: Graph) -> Finding:
    """PReLU has a slope per channel, or per element of a tensor of rank 4."""
    shape, slopes = node.inputs[0].shape, node.inputs[1].shape
    while slopes and slopes[0] == 1 and len(slopes) > 1:
        slopes = slopes[1:]
    if slopes != shape[-1:] and not (len(shape) == 4 and node.inputs[1].shape[-3:] == shape[1:]):
        return (
            f"slopes of shape {[*node.inputs[1].shape]} for {[*shape]}",
            f"a slope per channel: PReLU(shared_axes=[1, 2]), or {BY_CONVERT}",
        )


@of("SELECT_V2")
def selection(node: Node, graph: Graph) -> Finding:
    """Where-else takes values of the output's shape or a single constant number.

    A constant condition has four axes, or the output's shape, or is a single one.
    """
    for place, tensor in enumerate(node.inputs):
        if tensor.shape == node.outputs[0].shape:
            continue
        if place == 0 and (not graph.is_constant(tensor) or len(tensor.shape) == 4 or tensor.size == 1):
            continue
        if not graph.is_constant(tensor):
            return (
                f"values of shape {[*tensor.shape]} for {[*node.outputs[0].shape]}",
                "bring them to the output's shape by adding zeros: values + 0 * x",
            )
        if len(tensor.shape) > 1 or tensor.size > 1:
            return (
                f"constants of shape {[*tensor.shape]} for {[*node.outputs[0].shape]}",
                f"multiply with a mask of 0 and 1, or {BY_CONVERT}",
            )


@of("BATCH_MATMUL")
def products(node: Node, graph: Graph) -> Finding:
    """Matrix products: no constant on the left, equal batches, a constant matrix only as it is stored."""
    left, right = node.inputs
    if graph.is_constant(left):
        return "a constant as the left matrix", "transpose: (B^T A^T)^T"
    if graph.is_constant(right) and len(right.shape) == 2:
        if node.options.adjX or node.options.adjY:
            return (
                "a transposed operand with a constant matrix; the delegate computes wrong values",
                "transpose the weights beforehand, or use Dense",
            )
        return None
    if _batch(left) != _batch(right):
        return (
            f"batches {[*left.shape[:-2]]} and {[*right.shape[:-2]]}; the delegate computes wrong values",
            "give both the same batch axes: ops.repeat or one product per matrix",
        )


def _batch(tensor):
    batch = tensor.shape[:-2]
    while batch and batch[0] == 1:
        batch = batch[1:]
    return batch


@of("SOFTMAX")
def temperature(node: Node, graph: Graph) -> Finding:
    """A softmax with a factor inside."""
    if node.options.beta != 1:
        return f"beta {node.options.beta:g} inside", "multiply the logits before the softmax"


@of("ARG_MAX", "TOPK_V2")
def filling(node: Node, graph: Graph) -> Finding:
    """Channels are kept in fours, and the largest is sought in the filling as well.

    The filling goes through the operators before: it is 0 behind a convolution, 1 behind EXP. SOFTMAX keeps
    it at 0, which is never the largest; TOPK_V2 is wrong behind it too, and ends the process for 3 channels.
    """
    image = node.inputs[0]
    if image.shape[-1] in (None, 1) or image.shape[-1] % 4 == 0:
        return None
    if node.operator == "ARG_MAX":
        axis, maker = graph.value(node.inputs[1]), graph.producer(image)
        last = axis is not None and int(axis) % len(image.shape) == len(image.shape) - 1
        sought = last and (maker is None or maker.operator != "SOFTMAX")
    else:
        sought = True  # always along the last axis
    if sought:
        return (
            f"the largest of {image.shape[-1]} channels, which a GPU fills up to fours; it may answer with a "
            "channel that there is not",
            "convert(..., output='labels'), or append the first channels again up to a multiple of 4",
        )


@of("CUMSUM")
def cumulative(node: Node, graph: Graph) -> Finding:
    """A running sum goes forward, with its own element, and not along the batch."""
    axis = graph.value(node.inputs[1])
    if node.options.exclusive or node.options.reverse:
        return "a running sum backwards or without its own element; the delegate ignores that", (
            "reverse or subtract x"
        )
    if axis is not None and int(axis) % len(node.inputs[0].shape) == 0:
        return "a running sum along the first axis; the delegate computes wrong values", "transpose first"


@of("ADD_N")
def many(node: Node, graph: Graph) -> Finding:
    """A sum of many tensors."""
    if len(node.inputs) > 2:
        return f"a sum of {len(node.inputs)} tensors", "add two tensors at a time"


# Moving values


@of("STRIDED_SLICE")
def slicing(node: Node, graph: Graph) -> Finding:
    """The delegate takes forward slices with an entry per axis, and does not clip them to the tensor."""
    options, shape = node.options, node.inputs[0].shape
    begins, ends, strides = (graph.value(t) for t in node.inputs[1:])
    if options.shrinkAxisMask or options.newAxisMask or options.ellipsisMask:
        return (
            "a slice that removes or adds an axis",
            "keep the axis: slice with x[:, :1] instead of x[:, 0], reduce with keepdims=True, or "
            f"{BY_CONVERT}",
        )
    if begins is None or ends is None or strides is None or None in shape:
        return None
    if len(begins) != len(shape):
        return f"{len(begins)} ranges for {len(shape)} axes", BY_CONVERT
    if (strides < 0).any():
        return "a reversed slice", f"ops.flip, or {BY_CONVERT}"
    for axis, size in enumerate(shape):
        begin = 0 if options.beginMask >> axis & 1 else _from_front(begins[axis], size)
        end = size if options.endMask >> axis & 1 else _from_front(ends[axis], size)
        if ceil((end - begin) / int(strides[axis])) != node.outputs[0].shape[axis]:
            return f"a slice from {begin} to {end} of {size} pixels", (
                f"end the slice at the last pixel, or {BY_CONVERT}"
            )


def _from_front(place, size):
    return int(place) + (size if place < 0 else 0)


@of("PAD", "PADV2")
def padding_axes(node: Node, graph: Graph) -> Finding:
    """Padding needs rank 4, and leaves the batch alone."""
    axes, amounts = len(node.inputs[0].shape), graph.value(node.inputs[1])
    if axes < 4:
        return (
            f"padding of a tensor of {axes} axes; the delegate takes the wrong axes",
            f"keep four axes, or {BY_CONVERT}",
        )
    if amounts is not None and amounts[0].any():
        return "padding of the batch; the delegate computes wrong values", "concatenate zeros instead"


@of("MIRROR_PAD")
def mirror(node: Node, graph: Graph) -> Finding:
    """Of the two ways to mirror, the delegate has the one that does not repeat the rim."""
    if node.options.mode != 0:
        return "symmetric padding; the delegate has the reflecting kind alone", "pad with mode 'reflect'"


@of("GATHER")
def gathering(node: Node, graph: Graph) -> Finding:
    """GATHER takes a list of indices: no single one, no table."""
    if len(node.inputs[1].shape) != 1:
        return (
            f"indices of {len(node.inputs[1].shape)} axes; the delegate takes a list",
            f"a list of indices, then a reshape, or {BY_CONVERT}",
        )


@of("SPLIT", "SPLIT_V", "UNPACK")
def splitting(node: Node, graph: Graph) -> Finding:
    """Parts of one split that meet again.

    The delegate merges element-wise operators into the operator that makes their first operand. It also does
    so with the first part of a split, whose other parts are not there yet; and it writes the operands of an
    ADD or a CONCATENATION directly to where they are read.
    """
    if not _splits_in_place(node):
        return None
    if _meets(node.outputs[0], node.outputs[1:], graph) or any(
        behind.operator in ("ADD", "CONCATENATION", "PACK")
        and all(t in node.outputs and len(graph.consumers(t)) == 1 for t in behind.inputs)
        for t in node.outputs
        for behind in graph.consumers(t)
    ):
        return (
            "parts that meet again; the delegate mixes them up",
            f"slice instead: x[..., :8], x[..., 8:], or {BY_CONVERT}",
        )


def _splits_in_place(node):
    """True for a split, and for an UNPACK whose parts lie on the GPU as those of a split do."""
    if node.operator == "UNPACK":
        axes = len(node.inputs[0].shape)
        return node.options.axis % axes == 1 and axes > 2
    return node.operator in ("SPLIT", "SPLIT_V")


def _meets(tensor, others, graph):
    """True if a chain of element-wise operators that read only `tensor` ends in one that reads `others`."""
    first = True
    while len(graph.consumers(tensor)) == 1:
        behind = graph.consumers(tensor)[0]
        rest = [t for t in behind.inputs if t is not tensor and not graph.is_constant(t)]
        elementwise = (
            behind.operator in UNARY | BINARY or graph.origin(behind.outputs[0]) is not behind.outputs[0]
        )
        merged = behind.inputs[0] is tensor or behind.operator in ("ADD", "MUL")
        if not elementwise or not merged:
            return False
        if any(graph.origin(t) in others for t in rest):
            harmless = behind.operator == "ADD" or (behind.operator == "MUL" and behind.inputs[0] is tensor)
            return not (first and harmless)
        if rest:
            return False
        tensor, first = behind.outputs[0], False
    return False


# Several outputs


@of(*CONVOLUTIONS, "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL", "ADD", "MUL", "PAD", "PADV2")
def lost_output(node: Node, graph: Graph) -> Finding:
    """An output that the delegate never writes, because it merges its maker into its only reader."""
    made = node.outputs[0]
    consumers = graph.consumers(made)
    if made in graph.outputs and len(consumers) == 1 and _merges(node, consumers[0], graph):
        return (
            f"an output that {consumers[0].operator} also reads; the delegate merges the two and never "
            "writes it",
            BY_CONVERT,
        )


def _merges(node, behind, graph):
    if node.activation != "NONE":
        return False
    if behind.operator in ("ADD", "MUL") and _per_channel(behind, graph):
        return _ends_linear(node, graph)
    if node.operator == "MUL" and len(set(node.inputs)) == 1:
        return False
    if node.operator == "MUL" or (node.operator == "ADD" and len(set(node.inputs)) == 1):
        readers = (*CONVOLUTIONS, "FULLY_CONNECTED", "TRANSPOSE_CONV")
        return behind.operator in readers and _per_channel(node, graph) and not _ends_linear(node, graph)
    if node.operator == "ADD":
        readers = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
        return behind.operator in readers and _per_channel(node, graph) and not _pads(behind)
    if node.operator in ("PAD", "PADV2"):
        amounts = graph.value(node.inputs[1])
        inner = amounts is not None and len(amounts) == 4 and not amounts[[0, 3]].any()
        return inner and behind.operator in (*CONVOLUTIONS, *POOLINGS)
    return False


def _ends_linear(node, graph):
    """True for a convolution or matrix product, also with factors per channel behind it."""
    while node is not None and node.activation == "NONE":
        if node.operator in (*CONVOLUTIONS, "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"):
            return True
        if node.operator != "MUL" or not _per_channel(node, graph):
            return False
        source = next((t for t in node.inputs if not graph.is_constant(t)), node.inputs[0])
        node = graph.producer(source) if len(graph.consumers(source)) == 1 else None
    return False


def _per_channel(node, graph):
    """True if one operand is a constant number or a number per channel, or both are the same tensor."""
    if len(set(node.inputs)) == 1:
        return True
    channels = node.outputs[0].shape[-1]
    return any(
        graph.is_constant(t) and (t.size == 1 or (t.size == channels and t.shape[-1] == channels))
        for t in node.inputs
    )


def _pads(node):
    """True if a convolution adds zeros around its input."""
    options = node.options
    if node.operator == "FULLY_CONNECTED" or options.padding != SAME:
        return False
    for axis in (1, 2):
        size, made, kernel = (t.shape[axis] for t in (node.inputs[0], node.outputs[0], node.inputs[1]))
        stride = (options.strideH, options.strideW)[axis - 1]
        dilation = (options.dilationHFactor, options.dilationWFactor)[axis - 1]
        if (made - 1) * stride + (kernel - 1) * dilation + 1 > size:
            return True
    return False


RULES = (
    unknown,
    version,
    rank,
    dtype,
    float_only,
    dynamic,
    activation,
    groups,
    merged_padding,
    pooling_floor,
    upsampling_padding,
    large_kernel,
    twins,
    integer_constants,
    batch_constants,
    powers,
    leaky,
    prelu,
    selection,
    products,
    temperature,
    filling,
    cumulative,
    many,
    slicing,
    padding_axes,
    mirror,
    gathering,
    splitting,
    lost_output,
)
