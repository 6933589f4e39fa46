"""Rewriting operators of a `.tflite` file that a GPU would refuse or compute wrongly into ones that it takes.

The values on the CPU stay the same to the last bit: values are moved differently, or multiplied with 1.
What `repaired` cannot rewrite stays, and `inspect` reports it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import ceil

import flatbuffers
import numpy as np

from segcourse.tflite import rules
from segcourse.tflite.graph import Graph, Node, Tensor, read

ALIGNMENT = 16  # of stored constants, as the converter places them
# The schema's names for the options of what is written anew.
_OPTIONS = {
    "STRIDED_SLICE": "StridedSliceOptions",
    "RESHAPE": "ReshapeOptions",
    "MUL": "MulOptions",
    "REVERSE_V2": "ReverseV2Options",
}


def repaired(content: bytes) -> bytes:
    """The file with every operator rewritten that breaks a rule of `inspect` and has a form that does not.

    Args:
        content: the bytes of a TFLite file.

    Returns:
        The bytes of a file with the same signature that computes the same values on the CPU; `content` itself
        if there is nothing to rewrite.
    """
    file, changed = _File(read(content)), False
    for rule, rewrite in REPAIRS:
        graph, operators = Graph(file.model), []
        for node in graph.nodes:
            made = rewrite(node, graph, file) if rule(node, graph) else None
            operators += [node.stored] if made is None else made
            changed = changed or made is not None
        file.main.operators = operators
    return file.content(len(content)) if changed else content


class _Builder(flatbuffers.Builder):
    """Aligns the data of constants, which the plain builder would place at any multiple of 4."""

    def StartVector(self, elemSize, numElems, alignment):  # noqa: N802, N803 - the names of the base class
        return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)


class _File:
    """A file in the schema's objects, and how to make new ones in it."""

    def __init__(self, model):
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.model, self.main = schema, model, model.subgraphs[0]

    def content(self, size_hint):
        builder = _Builder(size_hint + 4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def constant(self, values):
        """Index of a new constant."""
        values = np.ascontiguousarray(values)
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = self.schema.TensorT()
        tensor.buffer, tensor.shape = len(self.model.buffers) - 1, np.array(values.shape, np.int32)
        tensor.type = getattr(self.schema.TensorType, str(values.dtype).upper())
        return self._add(tensor, "constant")

    def like(self, tensor: Tensor, shape):
        """Index of a new activation of the type and quantisation of `tensor`."""
        made = copy.copy(self.main.tensors[tensor.index])
        made.buffer, made.shape, made.shapeSignature = 0, np.array(shape, np.int32), None
        return self._add(made, tensor.name.split(";")[0])

    def _add(self, tensor, name):
        tensor.name = f"{name}/repaired{len(self.main.tensors)}".encode()
        self.main.tensors.append(tensor)
        return len(self.main.tensors) - 1

    def operator(self, name, inputs, outputs, options=None, version=1, **fields):
        """A new operator from and to tensors of these indices; `fields` are set in its options."""
        made = self.schema.OperatorT()
        made.opcodeIndex = self._code(name, version)
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is None and name in _OPTIONS:
            options = getattr(self.schema, f"{_OPTIONS[name]}T")()
        made.builtinOptions = copy.copy(options)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
        for field, value in fields.items():
            setattr(made.builtinOptions, field, value)
        return made

    def changed(self, node, inputs=None, outputs=None):
        """The operator of `node` with other tensors."""
        made = copy.copy(node.stored)
        made.inputs = node.stored.inputs if inputs is None else np.array(inputs, np.int32)
        made.outputs = node.stored.outputs if outputs is None else np.array(outputs, np.int32)
        return made

    def reshape(self, source, target):
        """A RESHAPE from one tensor to another, by their indices."""
        shape = np.asarray(self.main.tensors[target].shape, np.int32)
        return self.operator("RESHAPE", [source, self.constant(shape)], [target], newShape=shape)

    def _code(self, name, version):
        wanted = getattr(self.schema.BuiltinOperator, name)
        for index, code in enumerate(self.model.operatorCodes):
            if (max(code.builtinCode, code.deprecatedBuiltinCode), code.version) == (wanted, version):
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, min(wanted, 127), version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


Rewritten = list | None  # the schema's operators in place of one; None leaves it


def _indices(tensors):
    return [tensor.index for tensor in tensors]


def _is_fixed(*tensors):
    return all(None not in tensor.shape for tensor in tensors)


# Slices


def _slice(node: Node, graph: Graph, file: _File) -> Rewritten:
    """A forward slice with an entry per axis inside the tensor; before it a reversal, behind it a reshape."""
    ranges = _ranges(node, graph)
    if ranges is None:
        return None
    return _sliced(node.inputs[0], ranges, node.outputs[0], file)


def _ranges(node, graph):
    """A Python `range` of indices per axis of the input; None if the file does not fix them."""
    begins, ends, strides = (graph.value(t) for t in node.inputs[1:])
    if begins is None or ends is None or strides is None or not _is_fixed(node.inputs[0], node.outputs[0]):
        return None
    options, shape = node.options, node.inputs[0].shape
    if getattr(options, "offset", False):
        return None
    ranges = []
    for entry in range(len(begins)):
        bit = 1 << entry
        if options.ellipsisMask & bit:
            news = bin(options.newAxisMask >> entry + 1).count("1")
            skipped = len(shape) - len(ranges) - (len(begins) - entry - 1 - news)
            ranges += [range(n) for n in shape[len(ranges) :][:skipped]]
        elif not options.newAxisMask & bit:
            size = shape[len(ranges)]
            if options.shrinkAxisMask & bit:
                place = int(begins[entry]) % size
                ranges.append(range(place, place + 1))
                continue
            begin = None if options.beginMask & bit else int(begins[entry])
            end = None if options.endMask & bit else int(ends[entry])
            ranges.append(range(size)[begin : end : int(strides[entry])])
    return [*ranges, *(range(n) for n in shape[len(ranges) :])]


def _sliced(source: Tensor, ranges, target: Tensor, file):
    """Operators that bring the `ranges` of `source` into `target`, of any shape with as many elements."""
    here, operators = source.index, []
    back = [axis for axis, r in enumerate(ranges) if r.step < 0 and len(r) > 1]
    for axis in back:  # one by one: the CPU's REVERSE_V2 takes neighbouring axes alone
        flipped, last = file.like(source, source.shape), source.shape[axis] - 1
        operators.append(file.operator("REVERSE_V2", [here, file.constant(np.int32([axis]))], [flipped]))
        here = flipped
        ranges[axis] = range(last - ranges[axis].start, last - ranges[axis].stop, -ranges[axis].step)
    shape = tuple(map(len, ranges))
    cut = target.index if shape == target.shape else file.like(target, shape)
    bounds = (
        [r.start for r in ranges],
        [r[-1] + 1 if len(r) else r.start for r in ranges],
        [r.step if len(r) > 1 else 1 for r in ranges],
    )
    constants = [file.constant(np.array(values, np.int32)) for values in bounds]
    operators.append(file.operator("STRIDED_SLICE", [here, *constants], [cut]))
    return operators if cut == target.index else [*operators, file.reshape(cut, target.index)]


def _split(node: Node, graph: Graph, file: _File) -> Rewritten:
    """A slice for every part that is used."""
    source = node.inputs[1] if node.operator == "SPLIT" else node.inputs[0]
    axis = (
        node.options.axis
        if node.operator == "UNPACK"
        else graph.value(node.inputs[{"SPLIT": 0}.get(node.operator, 2)])
    )
    if axis is None or not _is_fixed(source, *node.outputs):
        return None
    axis, operators, start = int(axis) % len(source.shape), [], 0
    for part in node.outputs:
        length = 1 if node.operator == "UNPACK" else part.shape[axis]
        ranges = [range(n) for n in source.shape]
        ranges[axis] = range(start, start + length)
        start += length
        if graph.consumers(part) or part in graph.outputs:
            operators += _sliced(source, ranges, part, file)
    return operators


def _reshape(node: Node, graph: Graph, file: _File) -> Rewritten:
    """SQUEEZE and EXPAND_DIMS: a reshape."""
    if node.operator not in ("SQUEEZE", "EXPAND_DIMS") or not _is_fixed(*node.outputs):
        return None
    return [file.reshape(node.inputs[0].index, node.outputs[0].index)]


def _gather(node: Node, graph: Graph, file: _File) -> Rewritten:
    """A list of indices, then a reshape."""
    indices = graph.value(node.inputs[1])
    if indices is None or node.options.batchDims or not _is_fixed(node.inputs[0], node.outputs[0]):
        return None
    shape = list(node.inputs[0].shape)
    shape[node.options.axis] = indices.size
    listed = file.like(node.outputs[0], shape)
    inputs = [node.inputs[0].index, file.constant(indices.reshape(-1))]
    return [file.changed(node, inputs, [listed]), file.reshape(listed, node.outputs[0].index)]


# Convolution, pooling


def _activation_behind(node: Node, graph: Graph, file: _File) -> Rewritten:
    """TRANSPOSE_CONV: version 3, and its activation as an operator of its own."""
    if node.operator != "TRANSPOSE_CONV" or {t.dtype for t in node.inputs[1:]} != {"float32"}:
        return None
    target = node.outputs[0]
    name = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}.get(node.activation)
    if name is None and node.activation != "NONE":
        return None
    made = file.like(target, target.shape) if name else target.index
    version = 3 if len(node.inputs) == 4 else 1
    options = {"options": node.options, "fusedActivationFunction": 0}
    operators = [file.operator("TRANSPOSE_CONV", _indices(node.inputs), [made], version=version, **options)]
    return [*operators, file.operator(name, [made], [target.index])] if name else operators


def _crop_behind(node: Node, graph: Graph, file: _File) -> Rewritten:
    """TRANSPOSE_CONV: without padding, and the rim cut off by a slice."""
    target, source, kernel = node.outputs[0], node.inputs[2], node.inputs[1]
    if not _is_fixed(target, source) or node.activation != "NONE":
        return None
    shape, ranges = list(target.shape), [range(n) for n in target.shape]
    for axis in (1, 2):
        stride = (node.options.strideH, node.options.strideW)[axis - 1]
        size, made = kernel.shape[axis], target.shape[axis]
        cut = max((ceil(made / stride) - 1) * stride + size - made, 0) // 2
        shape[axis] = (source.shape[axis] - 1) * stride + max(size, stride)
        if cut + made > shape[axis] or size < stride:
            return None
        ranges[axis] = range(cut, cut + made)
    whole = file.like(target, shape)
    inputs = [file.constant(np.array(shape, np.int32)), *_indices(node.inputs[1:])]
    uncut = file.changed(node, inputs, [whole])
    uncut.builtinOptions = copy.copy(node.options)
    uncut.builtinOptions.padding = file.schema.Padding.VALID
    return [
        uncut,
        *_sliced(Tensor(target.name, tuple(shape), target.dtype, index=whole), ranges, target, file),
    ]


def _times_one(node: Node, graph: Graph, file: _File) -> Rewritten:
    """A multiplication with 1 behind: the delegate merges no further than that."""
    target = node.outputs[0]
    if target.dtype != "float32" or not _is_fixed(target):
        return None
    made = file.like(target, target.shape)
    one = file.constant(np.float32(1))
    return [file.changed(node, outputs=[made]), file.operator("MUL", [made, one], [target.index])]


def _copied_output(node: Node, graph: Graph, file: _File) -> Rewritten:
    """The graph returns a copy, times 1; with a second reader, the first is not merged."""
    operators = _times_one(node, graph, file)
    if operators is not None:
        target, original = node.outputs[0].index, operators[0].outputs[0]
        for reader in graph.consumers(node.outputs[0]):
            inputs = np.array(reader.stored.inputs)
            reader.stored.inputs = np.where(inputs == target, original, inputs).astype(np.int32)
    return operators


# Arithmetic


def _copy_twin(node: Node, graph: Graph, file: _File) -> Rewritten:
    """The second of two equal operands goes through a reshape to its own shape."""
    if not _is_fixed(*node.inputs):
        return None
    inputs, operators = [], []
    for tensor in node.inputs:
        if tensor.index in inputs:
            copied = file.like(tensor, tensor.shape)
            operators.append(file.reshape(tensor.index, copied))
            inputs.append(copied)
        else:
            inputs.append(tensor.index)
    return [*operators, file.changed(node, inputs)]


def _with_constants(node, graph, file, fitted):
    """`node` with each constant operand replaced by what `fitted(side, values)` makes of it, None to keep."""
    inputs = _indices(node.inputs)
    for side, tensor in enumerate(node.inputs):
        values = graph.value(tensor)
        values = None if values is None else fitted(side, values)
        if values is not None:
            inputs[side] = file.constant(values)
    return None if inputs == _indices(node.inputs) else [file.changed(node, inputs)]


def _four_axes(node: Node, graph: Graph, file: _File) -> Rewritten:
    """A constant of int32 or bool gets the axes that it lacks."""
    exchanged = node.operator not in rules.COMMUTATIVE and graph.is_constant(node.inputs[0])
    if len(node.outputs[0].shape) != 4 or exchanged:
        return None
    return _with_constants(
        node, graph, file, lambda side, v: v.reshape((1,) * (4 - v.ndim) + v.shape) if v.ndim < 4 else None
    )


def _whole_values(node: Node, graph: Graph, file: _File) -> Rewritten:
    """SELECT_V2: constants of the output's shape."""
    shape = node.outputs[0].shape
    return _with_constants(
        node,
        graph,
        file,
        lambda side, v: np.broadcast_to(v, shape) if v.shape not in (shape, ()) else None,
    )


def _base_per_channel(node: Node, graph: Graph, file: _File) -> Rewritten:
    """POW: the base repeated for every channel, or element where there is one channel."""
    shape = node.outputs[0].shape
    if not _is_fixed(node.outputs[0]):
        return None
    wide = shape[-1:] if shape and shape[-1] > 1 and len(shape) == 4 else shape
    return _with_constants(
        node, graph, file, lambda side, v: np.broadcast_to(v.reshape(-1)[:1], wide) if side == 0 else None
    )


def _slope_per_element(node: Node, graph: Graph, file: _File) -> Rewritten:
    """PRELU: a slope per channel if the slopes differ along channels alone, else one per element."""
    shape = node.inputs[0].shape
    if not _is_fixed(node.inputs[0]):
        return None

    def fitted(side, slopes):
        if not side:
            return None
        alike = all(n == 1 for n in slopes.shape[:-1])
        if not alike and len(shape) != 4:
            return None
        return np.broadcast_to(slopes.reshape(-1) if alike else slopes, shape[-1:] if alike else shape[1:])

    return _with_constants(node, graph, file, fitted)


def _lifted(node: Node, graph: Graph, file: _File) -> Rewritten:
    """An operator on 1 to 3 axes is computed on 4 of them, between reshapes."""
    target = node.outputs[0]
    axes = len(target.shape)
    if not 0 < axes < 4 or not _is_fixed(target, *node.inputs):
        return None
    operators, inputs = [], []
    for side, tensor in enumerate(node.inputs):
        values = graph.value(tensor)
        if node.operator in ("PAD", "PADV2") and side:
            if values is None:
                return None
            before = np.zeros((4 - axes, 2), values.dtype)
            inputs.append(file.constant(np.concatenate([before, values])) if side == 1 else tensor.index)
        elif values is not None:
            inputs.append(file.constant(values.reshape((1,) * (4 - values.ndim) + values.shape)))
        else:
            lifted = file.like(tensor, (1,) * (4 - len(tensor.shape)) + tensor.shape)
            operators.append(file.reshape(tensor.index, lifted))
            inputs.append(lifted)
    made = file.like(target, (1,) * (4 - axes) + target.shape)
    return [*operators, file.changed(node, inputs, [made]), file.reshape(made, target.index)]


# (rule of `inspect`, what to write instead), in this order
REPAIRS: tuple[tuple[Callable, Callable], ...] = (
    (rules.unknown, _reshape),
    (rules.slicing, _slice),
    (rules.splitting, _split),
    (rules.gathering, _gather),
    (rules.version, _activation_behind),
    (rules.upsampling_padding, _crop_behind),
    (rules.padding_axes, _lifted),
    (rules.batch_constants, _lifted),
    (rules.integer_constants, _four_axes),
    (rules.selection, _whole_values),
    (rules.powers, _base_per_channel),
    (rules.prelu, _slope_per_element),
    (rules.twins, _copy_twin),
    (rules.merged_padding, _times_one),
    (rules.lost_output, _copied_output),
)
