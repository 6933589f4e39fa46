"""Small TFLite files that each ask the GPU delegate one question, and what it answers.

`FORMS` maps a name to a `Form`: how to draw the file, and the rule of `segcourse.tflite.rules` that it
breaks; None where the delegate computes it as the CPU does. Every rule has both kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from segcourse.tflite.rules import VERSIONS

_OPTIONS = {
    **{
        name: name.capitalize()
        for name in ("ADD", "SUB", "MUL", "DIV", "RESHAPE", "SOFTMAX", "GATHER", "CAST")
    },
    **{name: name.capitalize() for name in ("SPLIT", "PACK", "UNPACK", "CUMSUM", "SQUEEZE", "CONCATENATION")},
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), "Pool2D"),
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"), "Reducer"
    ),
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "TRANSPOSE_CONV": "TransposeConv",
    "FULLY_CONNECTED": "FullyConnected",
    "RESIZE_BILINEAR": "ResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor",
    "STRIDED_SLICE": "StridedSlice",
    "LEAKY_RELU": "LeakyRelu",
    "SPLIT_V": "SplitV",
    "MIRROR_PAD": "MirrorPad",
    "BATCH_MATMUL": "BatchMatMul",
    "SPACE_TO_DEPTH": "SpaceToDepth",
    "DEPTH_TO_SPACE": "DepthToSpace",
    "ARG_MAX": "ArgMax",
    "SHAPE": "Shape",
}
MAP = (1, 8, 8, 4)


class Sketch:
    """A TFLite file in the making, from one input; tensors are numbers.

    A side of None is one that the file leaves open; it is 1 until somebody resizes it.
    """

    def __init__(self, shape=MAP):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.buffers = 3, [schema.BufferT()]
        self.model.operatorCodes, self.model.subgraphs = [], [self.graph]
        self.graph.tensors, self.graph.operators = [], []
        self.image = self._tensor(shape, "float32")

    def shape(self, tensor):
        return tuple(self.graph.tensors[tensor].shape)

    def _tensor(self, shape, dtype, buffer=0):
        tensor = schema.TensorT()
        tensor.shape, tensor.buffer = np.array([n or 1 for n in shape], np.int32), buffer
        if None in shape:
            tensor.shapeSignature = np.array([n or -1 for n in shape], np.int32)
        tensor.type = getattr(schema.TensorType, str(np.dtype(dtype)).upper())
        tensor.name = f"t{len(self.graph.tensors)}".encode()
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _constant(self, values):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self._tensor(values.shape, values.dtype, len(self.model.buffers) - 1)

    def op(self, name, inputs, shape=None, dtype="float32", version=1, **options):
        """The result of an operator, of the first input's shape by default.

        A list of shapes gives a list of results, of one dtype or of a list of them.
        """
        inputs = [i if type(i) is int else self._constant(np.asarray(i)) for i in inputs]
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        self.model.operatorCodes.append(code)
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        if name in _OPTIONS:
            kind = f"{_OPTIONS[name]}Options"
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        for option, value in options.items():
            setattr(operator.builtinOptions, option, value)
        shapes = shape if isinstance(shape, list) else [self.shape(inputs[0]) if shape is None else shape]
        dtypes = dtype if isinstance(dtype, list) else [dtype] * len(shapes)
        outputs = [self._tensor(*pair) for pair in zip(shapes, dtypes, strict=True)]
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        self.graph.operators.append(operator)
        return outputs if isinstance(shape, list) else outputs[0]

    def to_float(self, tensor):
        return self.op("CAST", [tensor])

    def content(self, *outputs):
        """The file's bytes, with a signature image -> out0, out1, ..."""
        self.graph.inputs, self.graph.outputs = ints(self.image), ints(*outputs)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = b"serve", 0
        signature.inputs = [_named("image", self.image)]
        signature.outputs = [_named(f"out{n}", tensor) for n, tensor in enumerate(outputs)]
        self.model.signatureDefs = [signature]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _named(name, tensor):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), tensor
    return entry


@dataclass(frozen=True)
class Form:
    """`draw` gives the file's outputs from a `Sketch`; `breaks` is the name of the rule, None if fine."""

    draw: Callable
    breaks: str | None
    shape: tuple = MAP

    def content(self):
        sketch = Sketch(self.shape)
        outputs = self.draw(sketch)
        return sketch.content(*(outputs if isinstance(outputs, list) else [outputs]))


FORMS = {}


def blocks():
    """What SPACE_TO_BATCH_ND and its inverse take beside the image: 2x2 blocks, nothing around them."""
    return ints(2, 2), around((0, 0), (0, 0))


def form(name, draw, breaks=None, shape=MAP):
    assert name not in FORMS, name
    FORMS[name] = Form(draw, breaks, shape)


def image(shape):
    """Input of a form: a wave with noise, so that whole regions are negative, float32."""
    shape = tuple(n or 1 for n in shape)
    waves = [np.sin(2 * np.pi * np.arange(n) / n + 0.7 * axis) for axis, n in enumerate(shape)]
    total = sum(np.ix_(*waves))
    noise = np.random.default_rng(1).uniform(-0.7, 0.7, shape)
    return (0.8 * (total - total.mean()) + noise).astype(np.float32)


def number(*shape):
    """A constant: away from zero, both signs."""
    values = np.random.default_rng(0).normal(size=shape)
    return np.asarray(values + np.sign(values), np.float32)


def ints(*values):
    return np.array(values, np.int32)


def around(*pairs):
    return np.array(pairs, np.int32)


def sized(tensor, **sides):
    """A shape with other sides: sized(MAP, c=8)."""
    return tuple(sides.get(side, n) for side, n in zip("bhwc", tensor, strict=True))


# Element by element

_UNARY = """
    ABS CEIL COS ELU EXP FLOOR GELU HARD_SWISH LOGISTIC NEG RELU RELU6 RELU_N1_TO_1 ROUND SIGN SIN SQUARE TANH
"""
for _name in _UNARY.split():
    form(_name, lambda s, n=_name: s.op(n, [s.image]))
for _name in ("LOG", "SQRT", "RSQRT"):
    form(_name, lambda s, n=_name: s.op(n, [s.op("EXP", [s.image])]))
for _name in ("L2_NORMALIZATION", "LOG_SOFTMAX", "ZEROS_LIKE", "RELU_0_TO_1"):
    form(_name, lambda s, n=_name: s.op(n, [s.image]), "unknown")
form("SQUEEZE", lambda s: s.op("SQUEEZE", [s.image], (8, 8, 4), squeezeDims=ints(0)), "unknown")
form(
    "EXPAND_DIMS",
    lambda s: s.op("EXPAND_DIMS", [s.op("RESHAPE", [s.image, ints(8, 8, 4)], MAP[1:]), np.int32(0)], MAP),
    "unknown",
)
form("SHAPE", lambda s: s.to_float(s.op("SHAPE", [s.image], (4,), "int32", outType=2)), "unknown")
form(
    "BROADCAST_TO",
    lambda s: s.op("BROADCAST_TO", [s.image, ints(2, 8, 8, 4)], (2, 8, 8, 4), version=2),
    "unknown",
)
BLOCKS = (4, 4, 4, 4)
form("SPACE_TO_BATCH_ND", lambda s: s.op("SPACE_TO_BATCH_ND", [s.image, *blocks()], BLOCKS), "unknown")
form("BATCH_TO_SPACE_ND", lambda s: s.op("BATCH_TO_SPACE_ND", [s.image, *blocks()], MAP), "unknown", BLOCKS)


COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")


def _compared(s, name, a, b, shape=MAP):
    made = s.op(name, [a, b], shape, "bool" if name in COMPARISONS else "float32")
    return s.to_float(made) if name in COMPARISONS else made


_BINARY = """
    ADD SUB MUL DIV MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_MOD FLOOR_DIV EQUAL NOT_EQUAL LESS
    GREATER_EQUAL LESS_EQUAL GREATER ATAN2
"""
for _name in _BINARY.split():
    form(
        f"{_name} of two maps",
        lambda s, n=_name: _compared(s, n, s.op("EXP", [s.image]), s.op("ABS", [s.image])),
    )
    form(
        f"{_name} of a map with itself",
        lambda s, n=_name: _compared(s, n, *[s.op("EXP", [s.image])] * 2),
        None if _name in ("ADD", "MUL") else "twins",
    )
for _name in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "LESS"):
    for _shape in ((), (1,), (4,), (1, 1, 1, 4), (8, 1, 1), (1, 8, 8, 1), (8, 8, 4)):
        form(
            f"{_name}, constant {_shape} on the right",
            lambda s, n=_name, k=_shape: _compared(s, n, s.image, number(*k)),
        )
        form(
            f"{_name}, constant {_shape} on the left",
            lambda s, n=_name, k=_shape: _compared(s, n, number(*k), s.op("EXP", [s.image])),
        )
for _axes, _shape in (
    ((1, 2), (1, 1, 1, 4)),
    ((3,), (1, 8, 8, 1)),
    ((2,), (1, 8, 1, 4)),
    ((1, 2, 3), (1, 1, 1, 1)),
):
    for _name in ("SUB", "MAXIMUM", "LESS"):
        form(
            f"{_name} with the mean over {_axes}",
            lambda s, n=_name, a=_axes, k=_shape: _compared(
                s, n, s.image, s.op("MEAN", [s.image, ints(*a)], k, keepDims=True)
            ),
        )
for _shape, _constant, _rule in (
    ((6, 8, 4), (4,), None),
    ((6, 8, 4), (8, 1), None),
    ((6, 8, 4), (1, 8, 4), None),
    ((6, 8, 4), (6, 1, 1), "batch_constants"),
    ((6, 8, 4), (6, 8, 4), "batch_constants"),
    ((6, 4), (4,), None),
    ((4,), (4,), "batch_constants"),
    ((4,), (), None),
):
    form(
        f"SUB of {_shape} and a constant {_constant}",
        lambda s, shape=_shape, k=_constant: s.op(
            "SUB", [s.op("RESHAPE", [s.image, ints(*shape)], shape), number(*k)], shape
        ),
        _rule,
        (1,) * (4 - len(_shape)) + _shape,
    )


for _name in _BINARY.split():
    # Whole numbers, of which some are equal; the CPU's ATAN2 does not broadcast.
    _constant = np.round(np.abs(number(6, 4 if _name == "ATAN2" else 1)))
    form(
        f"{_name} of (6, 4) and a constant {_constant.shape}",
        lambda s, n=_name, k=_constant: _compared(
            s,
            n,
            s.op("ROUND", [s.op("EXP", [s.op("RESHAPE", [s.image, ints(6, 4)], (6, 4))])]),
            k,
            (6, 4),
        ),
        "batch_constants",
        (1, 1, 6, 4),
    )


def _whole(s):
    return s.op("CAST", [s.op("MUL", [s.image, np.float32(10)])], dtype="int32")


for _name, _left, _shape, _rule in (
    ("SUB", False, (), None),
    ("SUB", False, (1, 1, 1, 4), None),
    ("SUB", False, (1, 8, 8, 4), None),
    ("SUB", False, (4,), "integer_constants"),
    ("SUB", False, (8, 1, 1), "integer_constants"),
    ("MUL", False, (8, 4), "integer_constants"),
    ("SUB", True, (), None),
    ("SUB", True, (1, 1, 1, 4), "integer_constants"),
    ("MAXIMUM", True, (1, 1, 1, 4), None),
):
    form(
        f"int32 {_name}, constant {_shape} on the {'left' if _left else 'right'}",
        lambda s, n=_name, left=_left, k=_shape: s.to_float(
            s.op(n, [_int(k), _whole(s)] if left else [_whole(s), _int(k)], MAP, "int32")
        ),
        _rule,
    )


for _name in sorted({*_BINARY.split()} - {"POW", "SQUARED_DIFFERENCE", "ATAN2"}):
    for _shape, _rule in (((1, 1, 1, 4), None), ((8, 4), "integer_constants")):
        form(
            f"int32 {_name} with a constant {_shape}",
            lambda s, n=_name, k=_shape: s.to_float(
                s.op(n, [_whole(s), _int(k)], MAP, "bool" if n in COMPARISONS else "int32")
            ),
            _rule,
        )


def _int(shape):
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.int32).reshape(shape)


for _name, _constant in (("SQUARED_DIFFERENCE", 3), ("POW", 2)):
    form(
        f"int32 {_name}",
        lambda s, n=_name, k=_constant: s.to_float(s.op(n, [_whole(s), np.int32(k)], MAP, "int32")),
        "float_only",
    )


def positive(s):
    return s.op("GREATER", [s.image, np.float32(0)], dtype="bool")


def small(s):
    return s.op("LESS", [s.image, np.float32(1)], dtype="bool")


for _name in ("LOGICAL_AND", "LOGICAL_OR"):

    def _logical(s, right, left=positive, name=_name):
        return s.to_float(s.op(name, [left(s) if callable(left) else left, right], MAP, "bool"))

    form(_name, lambda s, made=_logical: made(s, small(s)))
    form(f"{_name}, constant (1, 1, 1, 4)", lambda s, made=_logical: made(s, _mask(1, 1, 1, 4)))
    form(f"{_name}, constant (4,)", lambda s, made=_logical: made(s, _mask(4)), "integer_constants")
    form(
        f"{_name} of a mask with itself",
        lambda s, n=_name: s.to_float(s.op(n, [positive(s)] * 2, MAP, "bool")),
        "twins",
    )
form("LOGICAL_NOT", lambda s: s.to_float(s.op("LOGICAL_NOT", [small(s)], dtype="bool")))


def _mask(*shape):
    return np.arange(np.prod(shape)).reshape(shape) % 2 == 0


for _base, _rule in (
    (2.0, "powers"),
    (3.0, "powers"),
    (1.5, "powers"),
    (0.5, None),
    (10.0, None),
    (2.5, None),
):
    form(f"{_base}**x", lambda s, b=_base: s.op("POW", [np.float32(b), s.image], MAP), _rule)
form("[2, 2, 2, 2]**x", lambda s: s.op("POW", [np.full(4, 2, np.float32), s.image], MAP))
for _exponent, _rule in (
    (0.0, None),
    (2.0, None),
    (3.0, None),
    (4.0, None),
    (1.0, "powers"),
    (5.0, "powers"),
    (-1.0, "powers"),
):
    form(f"x**{_exponent}", lambda s, e=_exponent: s.op("POW", [s.image, np.float32(e)]), _rule)
    form(f"exp(x)**{_exponent}", lambda s, e=_exponent: s.op("POW", [s.op("EXP", [s.image]), np.float32(e)]))
for _slope in (0.0, 0.2, 1.0, 1.5, -0.5):
    form(
        f"LEAKY_RELU {_slope}",
        lambda s, a=_slope: s.op("LEAKY_RELU", [s.image], alpha=a),
        None if 0 <= _slope <= 1 else "leaky",
    )
for _shape, _rule in (
    ((1, 1, 4), None),
    ((4,), None),
    ((8, 8, 4), None),
    ((1, 1, 1), "prelu"),
    ((8, 1, 1), "prelu"),
    ((1, 8, 4), "prelu"),
):
    form(f"PRELU {_shape}", lambda s, k=_shape: s.op("PRELU", [s.image, number(*k)]), _rule)
for _name in ("SELECT", "SELECT_V2"):
    form(
        f"{_name} of two maps",
        lambda s, n=_name: s.op(n, [positive(s), s.image, s.op("EXP", [s.image])], MAP),
    )
    form(f"{_name} of a map and {MAP}", lambda s, n=_name: s.op(n, [positive(s), s.image, number(*MAP)], MAP))
    form(f"{_name} of a map twice", lambda s, n=_name: s.op(n, [positive(s), s.image, s.image], MAP), "twins")
for _shape, _rule in (((), None), ((4,), "selection"), ((1, 1, 1, 4), "selection")):
    form(
        f"SELECT_V2 of a map and {_shape}",
        lambda s, k=_shape: s.op("SELECT_V2", [positive(s), s.image, number(*k)], MAP),
        _rule,
    )
form(
    "SELECT_V2 of a map and its mean",
    lambda s: s.op(
        "SELECT_V2",
        [positive(s), s.image, s.op("MEAN", [s.image, ints(3)], sized(MAP, c=1), keepDims=True)],
        MAP,
    ),
    "selection",
)
for _shape, _rule in (
    ((), None),
    ((1,), None),
    (MAP, None),
    ((1, 8, 8, 1), None),
    ((1, 1, 1, 4), None),
    ((4,), "selection"),
    ((8, 1, 1), "selection"),
    ((8, 8, 4), "selection"),
):
    form(
        f"SELECT_V2 by a constant {_shape}",
        lambda s, k=_shape: s.op("SELECT_V2", [_mask(*k), s.image, s.op("EXP", [s.image])], MAP),
        _rule,
    )
form(
    "SELECT_V2 by the sign of the mean",
    lambda s: s.op(
        "SELECT_V2",
        [
            s.op(
                "GREATER",
                [s.op("MEAN", [s.image, ints(3)], sized(MAP, c=1), keepDims=True), np.float32(0)],
                dtype="bool",
            ),
            s.image,
            s.op("EXP", [s.image]),
        ],
        MAP,
    ),
)

# Convolutions and pooling

PLAIN = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3, "TANH": 4}


def conv(s, x, filters=6, kernel=3, valid=False, per=None, **options):
    _, h, w, c = s.shape(x)
    lost = kernel - 1 if valid else 0
    weights = number(filters, kernel, kernel, per or c)
    arguments = {**PLAIN, "padding": int(valid), **options}
    return s.op("CONV_2D", [x, weights, number(filters)], (1, h - lost, w - lost, filters), **arguments)


def connected(s, x, **options):
    shape = sized(s.shape(x), c=6)
    weights = number(6, s.shape(x)[-1])
    return s.op("FULLY_CONNECTED", [x, weights, number(6)], shape, keepNumDims=True, **options)


def depthwise(s, x, **options):
    channels = s.shape(x)[-1]
    arguments = {**PLAIN, "depthMultiplier": 1, **options}
    return s.op("DEPTHWISE_CONV_2D", [x, number(1, 3, 3, channels), number(channels)], **arguments)


def upsample(s, x, made, kernel, stride, valid=False, version=3, **options):
    shape = (1, made, made, 6)
    inputs = [ints(*shape), number(6, kernel, kernel, s.shape(x)[-1]), x, number(6)]
    arguments = {"strideW": stride, "strideH": stride, "padding": int(valid), **options}
    return s.op("TRANSPOSE_CONV", inputs, shape, version=version, **arguments)


def pool(s, x, name="MAX_POOL_2D", kernel=3, stride=2, valid=True, **options):
    _, h, w, c = s.shape(x)
    shape = (1, *((n - kernel) // stride + 1 if valid else -(-n // stride) for n in (h, w)), c)
    sides = {"filterWidth": kernel, "filterHeight": kernel, "strideW": stride, "strideH": stride}
    return s.op(name, [x], shape, padding=int(valid), **sides, **options)


for _name, _code in ACTIVATIONS.items():
    _rule = "activation" if _name == "TANH" else None
    form(f"CONV_2D with {_name}", lambda s, a=_code: conv(s, s.image, fusedActivationFunction=a), _rule)
    form(
        f"depthwise with {_name}", lambda s, a=_code: depthwise(s, s.image, fusedActivationFunction=a), _rule
    )
    for _operator in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        form(
            f"{_operator} with {_name}",
            lambda s, n=_operator, a=_code: pool(s, s.image, n, fusedActivationFunction=a),
            _rule,
        )
    if not _rule:
        form(
            f"FULLY_CONNECTED with {_name}",
            lambda s, a=_code: connected(s, s.image, fusedActivationFunction=a),
        )
    form(
        f"CONCATENATION with {_name}",
        lambda s, a=_code: s.op(
            "CONCATENATION",
            [s.image, s.op("NEG", [s.image])],
            sized(MAP, c=8),
            axis=3,
            fusedActivationFunction=a,
        ),
        "activation" if _code else None,
    )
    for _operator in ("ADD", "MUL", "SUB", "DIV"):
        form(
            f"{_operator} with {_name}",
            lambda s, n=_operator, a=_code: s.op(
                n, [s.image, s.op("EXP", [s.image])], fusedActivationFunction=a
            ),
            _rule,
        )
    if not _rule:
        form(
            f"TRANSPOSE_CONV version 4 with {_name}",
            lambda s, a=_code: upsample(s, s.image, 16, 4, 2, version=4, fusedActivationFunction=a),
            "version",
        )
for _kernel, _stride in ((1, 1), (3, 1), (5, 1)):
    form(f"CONV_2D kernel {_kernel}", lambda s, k=_kernel: conv(s, s.image, kernel=k))
    form(f"CONV_2D kernel {_kernel}, valid", lambda s, k=_kernel: conv(s, s.image, kernel=k, valid=True))
for _rate in (2, 3):
    form(
        f"CONV_2D rate {_rate}",
        lambda s, r=_rate: conv(s, s.image, dilationWFactor=r, dilationHFactor=r),
    )
for _read, _per, _filters in (
    (4, 1, 4),
    (3, 1, 3),
    (8, 4, 8),
    (8, 4, 16),
    (8, 2, 8),
    (4, 1, 8),
    (8, 4, 4),
    (12, 6, 12),
):
    _made = _filters * _per // _read
    _fine = _per == _made == 1 or not (_per % 4 or _made % 4)
    form(
        f"groups: {_read} channels, {_per} each, {_filters} filters",
        lambda s, per=_per, n=_filters: conv(s, s.image, n, per=per),
        None if _fine else "groups",
        (1, 8, 8, _read),
    )
for _size, _kernel, _stride, _made, _rule in (
    (6, 2, 2, 12, None),
    (6, 4, 2, 12, None),
    (5, 4, 2, 10, None),
    (6, 3, 2, 12, None),
    (5, 3, 2, 9, None),
    (5, 3, 2, 10, "upsampling_padding"),
    (6, 3, 2, 11, "upsampling_padding"),
    (5, 4, 3, 15, "upsampling_padding"),
    (6, 4, 4, 24, "upsampling_padding"),
    (6, 5, 4, 23, None),
    (6, 7, 4, 21, "upsampling_padding"),
):
    form(
        f"TRANSPOSE_CONV from {_size} to {_made}, kernel {_kernel}, stride {_stride}",
        lambda s, k=_kernel, t=_stride, m=_made: upsample(s, s.image, m, k, t),
        _rule,
        (1, _size, _size, 4),
    )
form("TRANSPOSE_CONV valid", lambda s: upsample(s, s.image, 18, 4, 2, valid=True))
form(
    "TRANSPOSE_CONV kernel 64",
    lambda s: upsample(s, s.image, 96, 64, 32, valid=True),
    "large_kernel",
    (1, 2, 2, 12),
)
form("MAX_POOL_2D same", lambda s: pool(s, s.image, valid=False))
form("AVERAGE_POOL_2D same", lambda s: pool(s, s.image, "AVERAGE_POOL_2D", valid=False))
RIM = around((0, 0), (1, 1), (1, 1), (0, 0))


def padded(s, x, value=None, amounts=RIM):
    shape = tuple(int(n + sum(pair)) for n, pair in zip(s.shape(x), amounts, strict=True))
    inputs = [x, amounts] if value is None else [x, amounts, np.float32(value)]
    return s.op("PAD" if value is None else "PADV2", inputs, shape)


_WIDE = around((0, 0), (4, 4), (4, 4), (0, 0))
_DEEP = around((0, 0), (0, 0), (0, 0), (1, 2))
for _name, _draw, _rule in (
    ("PAD", lambda s: padded(s, s.image), None),
    ("PADV2 3", lambda s: padded(s, s.image, 3), None),
    ("PAD of channels", lambda s: padded(s, s.image, amounts=_DEEP), None),
    ("PAD, conv", lambda s: conv(s, padded(s, s.image), valid=True), None),
    ("PADV2 3, conv", lambda s: conv(s, padded(s, s.image, 3), valid=True), "merged_padding"),
    ("PADV2 3, depthwise", lambda s: depthwise(s, padded(s, s.image, 3)), "merged_padding"),
    ("PADV2 3 of channels, conv", lambda s: conv(s, padded(s, s.image, 3, _DEEP), valid=True), None),
    ("PAD, max-pool", lambda s: pool(s, padded(s, s.image)), "merged_padding"),
    ("ReLU, PAD, max-pool", lambda s: pool(s, padded(s, s.op("RELU", [s.image]))), None),
    (
        "conv-ReLU, PAD, max-pool",
        lambda s: pool(s, padded(s, conv(s, s.image, fusedActivationFunction=1))),
        None,
    ),
    (
        "ReLU, wide PAD, max-pool",
        lambda s: pool(s, padded(s, s.op("RELU", [s.image]), amounts=_WIDE)),
        "merged_padding",
    ),
    ("PADV2 -1e9, max-pool", lambda s: pool(s, padded(s, s.image, -1e9)), None),
    ("PADV2 -1e9 of channels, max-pool", lambda s: pool(s, padded(s, s.image, -1e9, _DEEP)), "pooling_floor"),
    ("PADV2 3, max-pool", lambda s: pool(s, padded(s, s.image, 3)), "merged_padding"),
    ("PAD, average pool", lambda s: pool(s, padded(s, s.image), "AVERAGE_POOL_2D"), "merged_padding"),
    (
        "PAD of channels, average pool",
        lambda s: pool(s, padded(s, s.image, amounts=_DEEP), "AVERAGE_POOL_2D"),
        None,
    ),
    (
        "PAD of the batch",
        lambda s: padded(s, s.image, amounts=around((1, 0), (0, 0), (0, 0), (0, 0))),
        "padding_axes",
    ),
    ("MIRROR_PAD reflect", lambda s: s.op("MIRROR_PAD", [s.image, RIM], (1, 10, 10, 4), mode=0), None),
    ("MIRROR_PAD symmetric", lambda s: s.op("MIRROR_PAD", [s.image, RIM], (1, 10, 10, 4), mode=1), "mirror"),
):
    form(_name, _draw, _rule)


def _padded_twice_read(s):
    x = padded(s, s.image)
    return s.op("ADD", [pool(s, x), pool(s, x, "AVERAGE_POOL_2D")])


form("PAD, two poolings", _padded_twice_read)
for _shape in ((8, 8, 4), (8, 4), (4,)):
    form(
        f"PAD of {_shape}",
        lambda s, k=_shape: padded(
            s, s.op("RESHAPE", [s.image, ints(*k)], k), amounts=around(*[(1, 2)] * len(k))
        ),
        "padding_axes",
        (1,) * (4 - len(_shape)) + _shape,
    )

form(
    "PADV2 of (8, 4)",
    lambda s: padded(s, s.op("RESHAPE", [s.image, ints(8, 4)], (8, 4)), 3, around((1, 2), (1, 2))),
    "padding_axes",
    (1, 1, 8, 4),
)

# Matrices, sums, softmax

for _left, _right, _adjoint, _rule in (
    ((1, 2, 3, 4), (1, 2, 4, 5), False, None),
    ((1, 2, 3, 4), (1, 2, 4, 5), True, None),
    ((2, 3, 4), (2, 4, 5), False, None),
    ((1, 1, 3, 4), (1, 2, 4, 5), False, "products"),
    ((1, 2, 3, 4), (1, 1, 4, 5), False, "products"),
    ((2, 3, 4), (4, 5), False, "products"),
):

    def _product(s, left=_left, right=_right, adjoint=_adjoint):
        if adjoint:
            right = (*right[:-2], right[-1], right[-2])
        split = int(np.prod(left))
        rest = s.shape(s.image)[-1] - split
        a = s.op("SLICE", [s.image, ints(0, 0, 0, 0), ints(1, 1, 1, split)], (1, 1, 1, split))
        b = s.op("SLICE", [s.image, ints(0, 0, 0, split), ints(1, 1, 1, rest)], (1, 1, 1, rest))
        a, b = (s.op("RESHAPE", [x, ints(*k)], k) for x, k in ((a, left), (b, right)))
        batch = np.broadcast_shapes(left[:-2], right[:-2])
        return s.op("BATCH_MATMUL", [a, b], (*batch, left[-2], 5), adjX=False, adjY=adjoint)

    form(
        f"BATCH_MATMUL {_left} {_right}{' transposed' if _adjoint else ''}",
        _product,
        _rule,
        (1, 1, 1, int(np.prod(_left) + np.prod(_right))),
    )
form(
    "BATCH_MATMUL of a map with itself",
    lambda s: s.op("BATCH_MATMUL", [s.image, s.image], (1, 2, 4, 4)),
    "twins",
    (1, 2, 4, 4),
)
form("BATCH_MATMUL with weights", lambda s: s.op("BATCH_MATMUL", [s.image, number(4, 5)], sized(MAP, c=5)))
form(
    "BATCH_MATMUL with weights, transposed",
    lambda s: s.op("BATCH_MATMUL", [s.image, number(5, 4)], sized(MAP, c=5), adjY=True),
    "products",
)
form(
    "BATCH_MATMUL of weights",
    lambda s: s.op("BATCH_MATMUL", [number(1, 8, 5, 8), s.image], (1, 8, 5, 4)),
    "products",
)
for _name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
    for _axes in ((1,), (3,), (1, 2), (1, 2, 3), (0,)):
        for _keep in (True, False):
            _shape = tuple(1 if i in _axes else n for i, n in enumerate(MAP) if _keep or i not in _axes)
            form(
                f"{_name} over {_axes}{'' if _keep else ', axes dropped'}",
                lambda s, n=_name, a=_axes, k=_keep, shape=_shape: s.op(
                    n, [s.image, ints(*a)], shape, keepDims=k
                ),
            )
for _name in ("REDUCE_ANY", "REDUCE_ALL"):
    form(
        _name,
        lambda s, n=_name: s.to_float(
            s.op(n, [positive(s), ints(3)], sized(MAP, c=1), "bool", keepDims=True)
        ),
    )
form("SOFTMAX", lambda s: s.op("SOFTMAX", [s.image], beta=1.0))
form("SOFTMAX beta 2", lambda s: s.op("SOFTMAX", [s.image], beta=2.0), "temperature")
form("CUMSUM", lambda s: s.op("CUMSUM", [s.image, np.int32(2)]))
form("CUMSUM over the batch", lambda s: s.op("CUMSUM", [s.image, np.int32(0)]), "cumulative")
form("CUMSUM backwards", lambda s: s.op("CUMSUM", [s.image, np.int32(2)], reverse=True), "cumulative")
form("ADD_N of 2", lambda s: s.op("ADD_N", [s.image, s.op("EXP", [s.image])]))
form("ADD_N of 3", lambda s: s.op("ADD_N", [s.image, s.op("EXP", [s.image]), s.op("NEG", [s.image])]), "many")
form("ARG_MAX int32", lambda s: s.op("ARG_MAX", [s.image, np.int32(3)], MAP[:3], "int32", outputType=2))


def largest(s, values, axis=3):
    shape = tuple(size for i, size in enumerate(s.shape(values)) if i != axis)
    return s.to_float(s.op("ARG_MAX", [values, np.int32(axis)], shape, "int32", outputType=2))


def _negative(s):
    return s.op("NEG", [s.op("EXP", [s.image])])


FIVE = (1, 8, 8, 5)
form("ARG_MAX of 5 negative", lambda s: largest(s, _negative(s)), "filling", shape=FIVE)
form("ARG_MAX of 4 negative", lambda s: largest(s, _negative(s)))


def two_largest(s, values):
    shape = sized(s.shape(values), c=2)
    made, indices = s.op("TOPK_V2", [values, np.int32(2)], [shape, shape], ["float32", "int32"])
    return [made, s.to_float(indices)]


for _channels, _rule in ((3, "filling"), (4, None), (5, "filling"), (8, None)):
    form(f"TOPK_V2 of {_channels}", lambda s: two_largest(s, s.image), _rule, sized(MAP, c=_channels))
form(
    "TOPK_V2 of 5 probabilities",
    lambda s: two_largest(s, s.op("SOFTMAX", [s.image], beta=1.0)),
    "filling",
    FIVE,
)
form("ARG_MAX of 5 positive", lambda s: largest(s, s.op("EXP", [s.image])), "filling", shape=FIVE)
form("ARG_MAX of 5 probabilities", lambda s: largest(s, s.op("SOFTMAX", [s.image], beta=1.0)), shape=FIVE)
form("ARG_MAX over the width of 5 negative", lambda s: largest(s, _negative(s), 2), shape=FIVE)


def _all_of_it(s):
    tensor = s.op("STRIDED_SLICE", [s.image, ints(0, 0, 0, 0), ints(0, 0, 0, 0), ints(1, 1, 1, 1)],
                  beginMask=15, endMask=15)  # fmt: skip
    begin = s.graph.operators[-1].inputs[1]
    s.graph.operators[-1].inputs[2] = begin
    return tensor


form("STRIDED_SLICE with one constant as begin and end", _all_of_it)
form(
    "ARG_MAX int64",
    lambda s: s.op("ARG_MAX", [s.image, np.int32(3)], MAP[:3], "int64", outputType=4),
    "dtype",
)

# Of whole numbers, what computes with floats alone

WIDER = (1, 10, 10, 4)
for _name, _rest, _shape, _options in (
    ("CUMSUM", [np.int32(2)], MAP, {}),
    ("MEAN", [ints(3)], sized(MAP, c=1), {"keepDims": True}),
    ("MIRROR_PAD", [RIM], WIDER, {"mode": 0}),
    ("PAD", [RIM], WIDER, {}),
    ("PADV2", [RIM, np.int32(3)], WIDER, {}),
    ("RESIZE_NEAREST_NEIGHBOR", [ints(16, 16)], (1, 16, 16, 4), {}),
    ("SPACE_TO_DEPTH", [], (1, 4, 4, 16), {"blockSize": 2}),
):
    form(
        f"int32 {_name}",
        lambda s, n=_name, r=_rest, k=_shape, o=_options: s.to_float(
            s.op(n, [_whole(s), *r], k, "int32", **o)
        ),
        "float_only",
    )
form(
    "int32 SPLIT",
    lambda s: s.to_float(s.op("SPLIT", [np.int32(3), _whole(s)], [HALF, HALF], "int32", numSplits=2)[1]),
    "float_only",
)

# Moving


def sliced(s, begin, end, stride=(1, 1, 1, 1), shape=None, **masks):
    if shape is None:
        shape = tuple(len(range(n)[a:b:c]) for n, a, b, c in zip(MAP, begin, end, stride, strict=True))
    return s.op("STRIDED_SLICE", [s.image, ints(*begin), ints(*end), ints(*stride)], shape, **masks)


for _name, _draw, _rule in (
    ("slice", lambda s: sliced(s, (0, 1, 2, 0), (1, 7, 8, 4)), None),
    ("slice from the end", lambda s: sliced(s, (0, -3, 0, -1), (1, 8, -2, 4)), None),
    ("slice of every second", lambda s: sliced(s, (0, 1, 0, 0), (1, 8, 8, 4), (1, 2, 2, 1)), None),
    (
        "slice with open ends",
        lambda s: sliced(s, (0, 1, 2, 0), (0, 0, 0, 0), shape=(1, 7, 6, 4), endMask=15),
        None,
    ),
    ("slice beyond the height", lambda s: sliced(s, (0, 1, 2, 0), (1, 9, 8, 4)), "slicing"),
    ("slice beyond the channels", lambda s: sliced(s, (0, 0, 0, 1), (1, 8, 8, 99)), "slicing"),
    ("slice from before the start", lambda s: sliced(s, (0, -30, 0, 0), (1, 8, 8, 4)), "slicing"),
    ("slice backwards", lambda s: sliced(s, (0, 0, 0, 3), (1, 8, 8, -5), (1, 1, 1, -1)), "slicing"),
    ("slice backwards by 2", lambda s: sliced(s, (0, 6, 0, 0), (1, 0, 8, 4), (1, -2, 1, 1)), "slicing"),
    (
        "slice away an axis",
        lambda s: sliced(s, (0, 2, 0, 0), (1, 3, 8, 4), shape=(1, 8, 4), shrinkAxisMask=2),
        "slicing",
    ),
    (
        "slice away the batch",
        lambda s: sliced(s, (0, 0, 0, 0), (1, 8, 8, 4), shape=(8, 8, 4), shrinkAxisMask=1),
        "slicing",
    ),
    (
        "slice with ellipsis",
        lambda s: sliced(s, (0, 1), (0, 3), (1, 1), (1, 8, 8, 2), ellipsisMask=1),
        "slicing",
    ),
    ("slice of the first axes", lambda s: sliced(s, (0, 1), (1, 3), (1, 1), (1, 2, 8, 4)), "slicing"),
    ("SLICE", lambda s: s.op("SLICE", [s.image, ints(0, 1, 2, 1), ints(1, 5, 6, 2)], (1, 5, 6, 2)), None),
    ("REVERSE_V2", lambda s: s.op("REVERSE_V2", [s.image, ints(1, 2)]), None),
    ("GATHER", lambda s: s.op("GATHER", [s.image, ints(1, 0, 3)], (1, 8, 8, 3), axis=3), None),
    ("GATHER of one", lambda s: s.op("GATHER", [s.image, np.int32(2)], (1, 8, 4), axis=1), "gathering"),
    (
        "GATHER of a table",
        lambda s: s.op(
            "GATHER",
            [s.op("RESHAPE", [s.image, ints(64, 4)], (64, 4)), around((1, 0), (5, 6))],
            (2, 2, 4),
            axis=0,
        ),
        "gathering",
    ),
    ("TRANSPOSE", lambda s: s.op("TRANSPOSE", [s.image, ints(0, 3, 1, 2)], (1, 4, 8, 8)), None),
    ("TILE", lambda s: s.op("TILE", [s.image, ints(1, 2, 1, 3)], (1, 16, 8, 12)), None),
    ("SPACE_TO_DEPTH", lambda s: s.op("SPACE_TO_DEPTH", [s.image], (1, 4, 4, 16), blockSize=2), None),
    ("DEPTH_TO_SPACE", lambda s: s.op("DEPTH_TO_SPACE", [s.image], (1, 16, 16, 1), blockSize=2), None),
    ("rank 5", lambda s: s.op("RESHAPE", [s.image, ints(1, 8, 2, 4, 4)], (1, 8, 2, 4, 4)), "rank"),
):
    form(_name, _draw, _rule)


def _computed_shape(s):
    """A reshape to the image's own shape, which the file computes from the image."""
    whole = s.op(
        "CAST", [s.op("SLICE", [s.image, ints(0, 0, 0, 0), ints(1, 1, 1, 4)], (1, 1, 1, 4))], dtype="int32"
    )
    nothing = s.op("MUL", [whole, np.int32(0)], dtype="int32")
    sides = s.op("ADD", [nothing, ints(*MAP).reshape(1, 1, 1, 4)], dtype="int32")
    return s.op("RESHAPE", [s.image, s.op("RESHAPE", [sides, ints(4)], (4,), "int32")], (None,) * 4)


form("a computed shape", _computed_shape, "dynamic")


def _in_8_bits(s):
    quantized, numbers = s.op("QUANTIZE", [s.image], dtype="int8"), schema.QuantizationParametersT()
    numbers.scale, numbers.zeroPoint = np.array([0.02], np.float32), np.array([3], np.int64)
    s.graph.tensors[quantized].quantization = numbers
    return s.op("DEQUANTIZE", [quantized])


form("QUANTIZE and DEQUANTIZE", _in_8_bits)
for _axis in (1, 2, 3):
    for _count in (2, 3):
        form(
            f"CONCATENATION of {_count} along {_axis}",
            lambda s, a=_axis, n=_count: s.op(
                "CONCATENATION",
                [s.image, *(s.op(k, [s.image]) for k in ("EXP", "NEG")[: n - 1])],
                tuple(n * v if i == a else v for i, v in enumerate(MAP)),
                axis=a,
            ),
        )
for _name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
    for _size in ((16, 16), (13, 11), (4, 4), (1, 1)):
        for _corners, _half in ((False, False), (True, False), (False, True)):
            form(
                f"{_name} to {_size}{', corners' * _corners}{', half pixels' * _half}",
                lambda s, n=_name, k=_size, c=_corners, h=_half: s.op(
                    n, [s.image, ints(*k)], (1, *k, 4), alignCorners=c, halfPixelCenters=h
                ),
            )
HALF = (1, 8, 8, 2)


def parts(s):
    return s.op("SPLIT", [np.int32(3), s.image], [HALF, HALF], numSplits=2)


def unequal_parts(s):
    shapes = [sized(MAP, c=1), sized(MAP, c=3)]
    return s.op("SPLIT_V", [s.image, ints(1, 3), np.int32(3)], shapes, numSplits=2)


for _name, _draw, _rule in (
    ("SPLIT, one part", lambda s: s.op("NEG", [parts(s)[1]]), None),
    ("SPLIT, gated", lambda s: (lambda a, b: s.op("MUL", [a, s.op("LOGISTIC", [b])]))(*parts(s)), None),
    ("SPLIT_V, one part", lambda s: s.op("NEG", [unequal_parts(s)[1]]), None),
    (
        "SPLIT_V, CONCATENATION",
        lambda s: s.op("CONCATENATION", unequal_parts(s)[::-1], MAP, axis=3),
        "splitting",
    ),
    ("SPLIT, SUB", lambda s: s.op("SUB", parts(s)), "splitting"),
    ("SPLIT, ADD", lambda s: s.op("ADD", parts(s)), "splitting"),
    (
        "SPLIT, ReLU of the first, SUB",
        lambda s: (lambda a, b: s.op("SUB", [s.op("RELU", [a]), b]))(*parts(s)),
        "splitting",
    ),
    (
        "SPLIT, ReLU of both, SUB",
        lambda s: (lambda a, b: s.op("SUB", [s.op("RELU", [a]), s.op("RELU", [b])]))(*parts(s)),
        None,
    ),
    ("SPLIT, CONCATENATION", lambda s: s.op("CONCATENATION", parts(s)[::-1], MAP, axis=3), "splitting"),
    (
        "UNPACK of rows, SUB",
        lambda s: s.op("SUB", s.op("UNPACK", [s.image], [(1, 8, 4)] * 8, num=8, axis=1)[:2]),
        "splitting",
    ),
    (
        "UNPACK of columns, SUB",
        lambda s: s.op("SUB", s.op("UNPACK", [s.image], [(1, 8, 4)] * 8, num=8, axis=2)[:2]),
        None,
    ),
    (
        "UNPACK and PACK",
        lambda s: s.op(
            "PACK",
            s.op("UNPACK", [s.image], [(1, 8, 8)] * 4, num=4, axis=3)[::-1],
            MAP,
            axis=3,
            valuesCount=4,
        ),
        None,
    ),
):
    form(_name, _draw, _rule)

# Several outputs, of which one is also read


def plus_four(s, x):
    return s.op("ADD", [x, number(4)])


def plus_one(s, x):
    return s.op("ADD", [x, np.float32(1)])


def read_output(s, first, second):
    made = first(s)
    return [made, second(s, made)]


for _name, _first, _second, _rule in (
    ("conv, then ReLU", lambda s: conv(s, s.image, 4), lambda s, x: s.op("RELU", [x]), None),
    (
        "conv, then ADD",
        lambda s: conv(s, s.image, 4),
        plus_four,
        "lost_output",
    ),
    (
        "conv-ReLU, then ADD",
        lambda s: conv(s, s.image, 4, fusedActivationFunction=1),
        plus_four,
        None,
    ),
    ("MUL, then conv", lambda s: s.op("MUL", [s.image, number(4)]), lambda s, x: conv(s, x), "lost_output"),
    (
        "ADD, then valid conv",
        lambda s: s.op("ADD", [s.image, number(4)]),
        lambda s, x: conv(s, x, valid=True),
        "lost_output",
    ),
    ("ADD, then same conv", lambda s: s.op("ADD", [s.image, number(4)]), lambda s, x: conv(s, x), None),
    ("PAD, then conv", lambda s: padded(s, s.image), lambda s, x: conv(s, x, valid=True), "lost_output"),
    (
        "PADV2 0, then conv",
        lambda s: padded(s, s.image, 0),
        lambda s, x: conv(s, x, valid=True),
        "lost_output",
    ),
    ("PAD, then NEG", lambda s: padded(s, s.image), lambda s, x: s.op("NEG", [x]), None),
    ("depthwise, then ADD", lambda s: depthwise(s, s.image), plus_four, "lost_output"),
    ("depthwise, then ReLU", lambda s: depthwise(s, s.image), lambda s, x: s.op("RELU", [x]), None),
    ("TRANSPOSE_CONV, then ADD", lambda s: upsample(s, s.image, 16, 2, 2), plus_one, "lost_output"),
    (
        "TRANSPOSE_CONV, then NEG",
        lambda s: upsample(s, s.image, 16, 2, 2),
        lambda s, x: s.op("NEG", [x]),
        None,
    ),
    ("FULLY_CONNECTED, then ADD", lambda s: connected(s, s.image), plus_one, "lost_output"),
    ("FULLY_CONNECTED, then NEG", lambda s: connected(s, s.image), lambda s, x: s.op("NEG", [x]), None),
    (
        "BATCH_MATMUL, then ADD",
        lambda s: s.op("BATCH_MATMUL", [s.image, number(4, 4)], MAP),
        plus_four,
        "lost_output",
    ),
    (
        "BATCH_MATMUL, then NEG",
        lambda s: s.op("BATCH_MATMUL", [s.image, number(4, 4)], MAP),
        lambda s, x: s.op("NEG", [x]),
        None,
    ),
):
    form(f"output and read: {_name}", lambda s, a=_first, b=_second: read_output(s, a, b), _rule)

# Versions: the highest that the delegate takes, and the next


def _versions(s):
    """Operator -> a function of a version that draws it."""
    x, wide, both = s.image, (1, 16, 16, 4), sized(MAP, c=8)
    sides = ints(16, 16)
    unary = ("RELU", "RELU6", "LOGISTIC", "TANH")
    return {
        **{name: lambda v, n=name: s.op(n, [x], version=v) for name in unary},
        "RSQRT": lambda v: s.op("RSQRT", [s.op("EXP", [x])], version=v),
        "SUB": lambda v: s.op("SUB", [x, np.float32(1)], version=v),
        "STRIDED_SLICE": lambda v: sliced(s, (0, 1, 2, 0), (1, 7, 8, 4), version=v),
        "MAX_POOL_2D": lambda v: pool(s, x, version=v),
        "AVERAGE_POOL_2D": lambda v: pool(s, x, "AVERAGE_POOL_2D", version=v),
        "RESIZE_BILINEAR": lambda v: s.op("RESIZE_BILINEAR", [x, sides], wide, version=v),
        "RESIZE_NEAREST_NEIGHBOR": lambda v: s.op("RESIZE_NEAREST_NEIGHBOR", [x, sides], wide, version=v),
        "TRANSPOSE_CONV": lambda v: upsample(s, x, 16, 4, 2, version=v),
        "PAD": lambda v: s.op("PAD", [x, RIM], WIDER, version=v),
        "PADV2": lambda v: s.op("PADV2", [x, RIM, np.float32(3)], WIDER, version=v),
        "CONV_2D": lambda v: conv(s, x, version=v),
        "DEPTHWISE_CONV_2D": lambda v: depthwise(s, x, version=v),
        "CONCATENATION": lambda v: s.op("CONCATENATION", [x, s.op("EXP", [x])], both, version=v, axis=3),
    }


for _name, _highest in VERSIONS.items():
    for _version, _rule in ((_highest, None), (_highest + 1, "version")):
        form(f"{_name} version {_version}", lambda s, n=_name, v=_version: _versions(s)[n](v), _rule)
