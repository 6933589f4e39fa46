"""What is inside a `.tflite` file, and what in it keeps the network off a mobile GPU."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from math import ceil, prod
from pathlib import Path

from segcourse.tflite.files import readable

# Each of these ran on LiteRT's GPU delegate, whole and with the CPU's values, in a small model that asked
# just this; the rules of `_node_problems` name the forms of them that do not.
_RAN = """
    ABS ADD ARG_MAX ATAN2 AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD
    FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_OR LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PAD
    PADV2 POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX
    SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2
    TRANSPOSE TRANSPOSE_CONV UNPACK
"""
GPU_OPERATORS = frozenset(_RAN.split())
GPU_DTYPES = frozenset({"float32", "float16", "int32", "int8", "uint8", "bool"})
TEXTURE_ROWS = 8192  # WebGPU's guaranteed maxTextureDimension2D
_SAME = 0  # schema.Padding.SAME
FIXES = {
    "SPACE_TO_BATCH_ND": "give the signature a fixed batch of 1 (convert does): dilation then stays inside "
    "CONV_2D",
    "BATCH_TO_SPACE_ND": "give the signature a fixed batch of 1 (convert does): dilation then stays inside "
    "CONV_2D",
    "SHAPE": "fix the input size (convert does) and compute sizes in Python, not in the graph",
    "L2_NORMALIZATION": "write x * rsqrt(sum(square(x)) + epsilon)",
    "LOG_SOFTMAX": "leave it out: the largest logit is the label",
    "BROADCAST_TO": "let ADD or MUL broadcast, or resize bilinearly from 1x1",
    "ADD_N": "add two tensors at a time",
}
SQUEEZED = "keep the axis: slice with x[:, :1] instead of x[:, 0], reduce with keepdims=True"


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: name, shape (None = not fixed), dtype, and whether it is stored in the file."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    constant: bool = False

    def __str__(self):
        return f"{self.name} {self.dtype}{[*self.shape]}"


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


@dataclass(frozen=True)
class Report:
    """What `inspect` found.

    Attributes:
        path, file_bytes: the file and its size.
        operators: operator name -> how often, most frequent first.
        inputs, outputs: signature name -> `Tensor`.
        tensors: every activation `Tensor` in the order of computation.
        parameter_bytes: bytes of stored constants (weights and the like).
        macs: multiply-accumulates of one image in convolutions and matrix products.
        problems: what keeps it off a mobile GPU; empty when nothing does.
    """

    path: Path
    file_bytes: int
    operators: dict[str, int]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    tensors: tuple[Tensor, ...]
    parameter_bytes: int
    macs: int
    problems: tuple[Problem, ...]

    @property
    def gpu_ready(self) -> bool:
        """True if nothing is known to keep the whole network off a mobile GPU."""
        return not self.problems

    def __str__(self):
        lines = [
            f"{self.path.name}: {self.file_bytes / 1e3:,.0f} kB, of it parameters "
            f"{self.parameter_bytes / 1e3:,.0f} kB; {self.macs / 1e6:,.1f} million "
            "multiply-accumulates per image",
            *(f"  in   {name}: {t.dtype}{[*t.shape]}" for name, t in self.inputs.items()),
            *(f"  out  {name}: {t.dtype}{[*t.shape]}" for name, t in self.outputs.items()),
            f"  {sum(self.operators.values())} operators: "
            + ", ".join(f"{count} {name}" for name, count in self.operators.items()),
        ]
        if self.gpu_ready:
            lines.append("  mobile GPU: takes all of it")
        else:
            lines.append(f"  mobile GPU: {len(self.problems)} problem(s)")
            lines += [f"    - {problem}" for problem in self.problems]
        return "\n".join(lines)


def inspect(path: str | os.PathLike) -> Report:
    """Read a TFLite file without running it.

    Args:
        path: a `.tflite` file, from `convert` or anywhere else.

    Returns:
        A `Report`; `print` it, or look at `report.problems`.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: it is a folder.
        ValueError: the file is not a TFLite file, or damaged.
    """
    path = readable(path)
    content = path.read_bytes()
    graph = _Graph(content)
    counts = Counter(node.operator for node in graph.nodes)
    return Report(
        path=path,
        file_bytes=len(content),
        operators=dict(counts.most_common()),
        inputs=graph.signature("inputs"),
        outputs=graph.signature("outputs"),
        tensors=tuple(t for t in graph.tensors if not t.constant),
        parameter_bytes=graph.parameter_bytes,
        macs=sum(_macs(node) for node in graph.nodes),
        problems=_merged(
            [*_input_problems(graph), *(p for node in graph.nodes for p in _node_problems(node, graph))]
        ),
    )


@dataclass(frozen=True)
class _Node:
    operator: str
    options: object
    inputs: tuple
    outputs: tuple


class _Graph:
    """The main graph of the file, in plain names and tuples."""

    def __init__(self, content):
        from ai_edge_litert import schema_py_generated as schema

        self._model = schema.ModelT.InitFromPackedBuf(content)
        self._main = self._model.subgraphs[0]
        self.tensors = [self._tensor(tensor) for tensor in self._main.tensors]
        self.nodes = [self._node(operator) for operator in self._main.operators]
        used = {tensor.buffer for tensor in self._main.tensors}
        self.parameter_bytes = sum(self._stored(self._model.buffers[i]) for i in used)

    @staticmethod
    def _stored(buffer):
        return len(buffer.data) if buffer.data is not None else buffer.size

    def _tensor(self, tensor):
        signature = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        shape = () if signature is None else tuple(None if n < 0 else int(n) for n in signature)
        constant = self._stored(self._model.buffers[tensor.buffer]) > 0
        return Tensor(tensor.name.decode(), shape, _names("TensorType")[tensor.type].lower(), constant)

    def _node(self, operator):
        code = self._model.operatorCodes[operator.opcodeIndex]
        name = _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name == "CUSTOM":
            name = f"CUSTOM {code.customCode.decode()}"
        return _Node(name, operator.builtinOptions, self._of(operator.inputs), self._of(operator.outputs))

    def _of(self, indices):
        return tuple(self.tensors[i] for i in indices if i >= 0)

    def signature(self, side):
        """Signature name -> Tensor; a file without signature goes by its tensors' own names."""
        if self._model.signatureDefs:
            return {
                m.name.decode(): self.tensors[m.tensorIndex]
                for m in getattr(self._model.signatureDefs[0], side)
            }
        return {self.tensors[i].name: self.tensors[i] for i in getattr(self._main, side)}

    def consumers(self, tensor):
        return [node for node in self.nodes if tensor in node.inputs]


@cache
def _names(enum):
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, enum)).items() if isinstance(value, int)}


def _macs(node):
    """Multiply-accumulates of one operator.

    Kernels are OHWI (CONV_2D, TRANSPOSE_CONV), 1HWC (DEPTHWISE_CONV_2D) or OI (FULLY_CONNECTED).
    """
    result = _size(node.outputs[0])
    if node.operator in ("CONV_2D", "FULLY_CONNECTED"):
        return result * prod(node.inputs[1].shape[1:])
    if node.operator == "DEPTHWISE_CONV_2D":
        return result * prod(node.inputs[1].shape[1:3])
    if node.operator == "TRANSPOSE_CONV":
        return _size(node.inputs[2]) * prod(node.inputs[1].shape[:3])
    if node.operator == "BATCH_MATMUL":
        return result * (node.inputs[0].shape[-2 if node.options.adjX else -1] or 1)
    return 0


def _size(tensor):
    return prod(n or 1 for n in tensor.shape)


def _input_problems(graph):
    for name, tensor in graph.signature("inputs").items():
        if None in tensor.shape:
            yield Problem(
                "input",
                f"shape {[*tensor.shape]} is not fixed, and memory on a GPU is laid out before the first "
                "image",
                "convert(..., input_size=(H, W)): batch 1 and one file per size",
                name,
            )


def _node_problems(node, graph):
    """(reason, fix) of each rule that this operator breaks, as Problems."""
    rules = (
        _unknown,
        _rank,
        _dtype,
        _dynamic,
        _groups,
        _padded_pooling,
        _padded_upsampling,
        _large_kernel,
        _splitting,
        _squeezing,
        _mirror,
    )
    for rule in rules:
        found = rule(node, graph)
        if found:
            yield Problem(node.operator, *found, where=node.outputs[0].name)


def _unknown(node, graph):
    if node.operator not in GPU_OPERATORS:
        return "the GPU delegate has no such operator", FIXES.get(
            node.operator, "use other layers, or run on the CPU"
        )


def _rank(node, graph):
    ranks = [len(t.shape) for t in (*node.inputs, *node.outputs)]
    if max(ranks) > 4:
        return (
            f"a tensor of rank {max(ranks)}; a GPU takes 4 at most",
            "resize with keras.ops.image.resize(..., 'nearest') or bilinearly instead of "
            "UpSampling2D(interpolation='nearest'), normalise with BatchNormalization instead of "
            "GroupNormalization",
        )


def _dtype(node, graph):
    refused = sorted({t.dtype for t in (*node.inputs, *node.outputs)} - GPU_DTYPES)
    if refused:
        return (
            f"{', '.join(refused)} tensors; a GPU takes {', '.join(sorted(GPU_DTYPES))}",
            "end the network with the logits and take the argmax on the phone"
            if node.operator == "ARG_MAX"
            else "use float32",
        )


def _dynamic(node, graph):
    if any(None in t.shape for t in node.outputs) and not any(
        None in t.shape for t in graph.signature("inputs").values()
    ):
        return "its output's shape is computed while running", "fix the sizes in Python, before conversion"


def _groups(node, graph):
    if node.operator != "CONV_2D" or node.inputs[1].dtype == "int4":
        return None
    filters, per_group = node.inputs[1].shape[0], node.inputs[1].shape[-1]
    groups = (node.inputs[0].shape[-1] or per_group) // per_group
    made = filters // groups
    if groups > 1 and (per_group % 4 or made % 4):
        return (
            f"{groups} groups that read {per_group} and make {made} channels each; the delegate takes it "
            "and computes wrong values",
            "read and make a multiple of 4 channels per group, or use DepthwiseConv2D",
        )


def _padded_pooling(node, graph):
    """The delegate merges zero padding into the pooling, which then ignores the zeros."""
    if node.operator not in ("PAD", "PADV2"):
        return None
    pooled = [
        n.operator
        for n in graph.consumers(node.outputs[0])
        if n.operator in ("MAX_POOL_2D", "AVERAGE_POOL_2D")
    ]
    if pooled:
        return (
            f"padding directly before {pooled[0]}; the delegate merges the two and computes wrong values",
            "pool with padding='same', or pad before the convolution that comes first",
        )


def _padded_upsampling(node, graph):
    """The delegate pads a transposed convolution as it would "same"-pad a convolution of equal stride."""
    if node.operator != "TRANSPOSE_CONV" or node.options.padding != _SAME:
        return None
    sizes = node.inputs[2].shape[1:3]
    kernels = node.inputs[1].shape[1:3]
    strides = (node.options.strideH, node.options.strideW)
    for size, kernel, stride in zip(sizes, kernels, strides, strict=True):
        cut = max(kernel - stride, 0) // 2
        taken = cut if size is None else max(0, (ceil(size / stride) - 1) * stride + kernel - size) // 2
        if taken != cut:
            return (
                f"kernel {kernel}, stride {stride} and 'same' padding on {size} pixels; the delegate cuts "
                f"off {taken} pixels instead of {cut} and computes wrong values",
                f"Conv2DTranspose(padding='valid') followed by Cropping2D({cut}), or an input that the "
                "stride divides",
            )


def _large_kernel(node, graph):
    """A transposed convolution's kernel takes a texture row per position and four input channels."""
    if node.operator != "TRANSPOSE_CONV":
        return None
    _, height, width, channels = node.inputs[1].shape
    rows = height * width * ceil(channels / 4)
    if rows > TEXTURE_ROWS:
        return (
            f"a {height}x{width} kernel over {channels} channels needs a texture of {rows} rows; WebGPU has "
            f"{TEXTURE_ROWS}",
            "upsample in two smaller steps, or bilinearly with UpSampling2D",
        )


def _splitting(node, graph):
    if (
        node.operator in ("SPLIT", "SPLIT_V", "UNPACK")
        and sum(bool(graph.consumers(t)) for t in node.outputs) > 1
    ):
        return (
            "several outputs are used; the delegate mixes them up and computes wrong values",
            "slice instead: x[..., :8], x[..., 8:]",
        )


def _squeezing(node, graph):
    options = node.options
    if node.operator == "STRIDED_SLICE" and (
        options.shrinkAxisMask or options.newAxisMask or options.ellipsisMask
    ):
        return "a slice that removes or adds an axis", SQUEEZED


def _mirror(node, graph):
    if node.operator == "MIRROR_PAD" and node.options.mode != 0:
        return "symmetric padding; the delegate has the reflecting kind alone", "pad with mode 'reflect'"


def _merged(problems):
    """One entry per operator and reason, in order of first appearance."""
    counts = Counter((p.operator, p.reason) for p in problems)
    firsts = {(p.operator, p.reason): p for p in reversed(problems)}
    return tuple(Problem(*key, firsts[key].fix, firsts[key].where, count) for key, count in counts.items())
