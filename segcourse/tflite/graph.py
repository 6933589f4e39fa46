"""The main graph of a `.tflite` file in plain names and tuples, read without running it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np

_NUMPY = {
    "float32": np.float32,
    "float16": np.float16,
    "int32": np.int32,
    "int64": np.int64,
    "int8": np.int8,
    "uint8": np.uint8,
    "bool": np.bool_,
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the graph: name, shape (None = not fixed), dtype, and whether it is stored in the file.

    Two tensors of a file may have equal names and shapes, so each is equal to itself alone.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    constant: bool = False
    index: int = -1

    def __str__(self):
        return f"{self.name} {self.dtype}{[*self.shape]}"

    @property
    def size(self) -> int:
        """Number of elements; a side that is not fixed counts as 1."""
        return prod(n or 1 for n in self.shape)


@dataclass(frozen=True, eq=False)
class Node:
    """One operator: its name, version, options (of the schema, or None), tensors, and the schema's object."""

    operator: str
    version: int
    options: object
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    stored: object

    @property
    def activation(self) -> str:
        """The activation that is fused into it, e.g. "RELU"; "NONE" if there is none."""
        code = getattr(self.options, "fusedActivationFunction", 0)
        return enum_names("ActivationFunctionType")[code]

    @property
    def macs(self) -> int:
        """Its multiply-accumulates for one image.

        Kernels are OHWI (CONV_2D, TRANSPOSE_CONV), 1HWC (DEPTHWISE_CONV_2D) or OI (FULLY_CONNECTED).
        """
        result = self.outputs[0].size
        if self.operator in ("CONV_2D", "FULLY_CONNECTED"):
            return result * prod(self.inputs[1].shape[1:])
        if self.operator == "DEPTHWISE_CONV_2D":
            return result * prod(self.inputs[1].shape[1:3])
        if self.operator == "TRANSPOSE_CONV":
            return self.inputs[2].size * prod(self.inputs[1].shape[:3])
        if self.operator == "BATCH_MATMUL":
            return result * (self.inputs[0].shape[-2 if self.options.adjX else -1] or 1)
        return 0


class Graph:
    """The main graph of a file.

    Args:
        model: a `schema.ModelT`, as `read` makes it.

    Attributes:
        tensors, nodes: all of them, nodes in the order of computation.
        outputs: the tensors that the graph returns.
        parameter_bytes: bytes of stored constants.
    """

    def __init__(self, model):
        self._model = model
        self._main = model.subgraphs[0]
        self.tensors = [self._tensor(*item) for item in enumerate(self._main.tensors)]
        self.nodes = [self._node(operator) for operator in self._main.operators]
        self.outputs = self._of(self._main.outputs)
        self._producers = {id(t): node for node in self.nodes for t in node.outputs}
        self._consumers = {}
        for node in self.nodes:
            for tensor in dict.fromkeys(node.inputs):
                self._consumers.setdefault(id(tensor), []).append(node)
        used = {tensor.buffer for tensor in self._main.tensors}
        self.parameter_bytes = sum(_stored_bytes(model.buffers[i]) for i in used)

    def _tensor(self, index, tensor):
        signature = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
        shape = () if signature is None else tuple(None if n < 0 else int(n) for n in signature)
        constant = _stored_bytes(self._model.buffers[tensor.buffer]) > 0
        dtype = enum_names("TensorType")[tensor.type].lower()
        return Tensor(tensor.name.decode(), shape, dtype, constant, index)

    def _node(self, operator):
        code = self._model.operatorCodes[operator.opcodeIndex]
        name = enum_names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if name == "CUSTOM":
            name = f"CUSTOM {code.customCode.decode()}"
        inputs, outputs = self._of(operator.inputs), self._of(operator.outputs)
        return Node(name, code.version, operator.builtinOptions, inputs, outputs, operator)

    def _of(self, indices):
        return tuple(self.tensors[i] for i in indices if i >= 0)

    def signature(self, side: str) -> dict[str, Tensor]:
        """Name -> Tensor of the "inputs" or "outputs"; without signature by the tensors' own names."""
        if self._model.signatureDefs:
            return {
                m.name.decode(): self.tensors[m.tensorIndex]
                for m in getattr(self._model.signatureDefs[0], side)
            }
        return {self.tensors[i].name: self.tensors[i] for i in getattr(self._main, side)}

    def consumers(self, tensor: Tensor) -> list[Node]:
        """The operators that read `tensor`."""
        return self._consumers.get(id(tensor), [])

    def readers(self, tensor: Tensor) -> list[Node]:
        """The operators that read `tensor`, or what reshapes that change nothing make of it."""
        same = [t for t in self.tensors if self.origin(t) is self.origin(tensor)]
        idle = {node for t in same for node in self._idle_reshapes(t)}
        return [node for t in same for node in self.consumers(t) if node not in idle]

    def origin(self, tensor: Tensor) -> Tensor:
        """The first tensor that `tensor` equals: reshapes that end in the shape they began with drop out."""
        idle = self._idle_reshapes(tensor)
        return idle[-1].inputs[0] if idle else tensor

    def _idle_reshapes(self, tensor):
        """The longest chain of RESHAPEs that leads to `tensor` from another of its shape, last one first."""
        chain, length, node = [], 0, self.producer(tensor)
        while node is not None and node.operator == "RESHAPE":
            chain.append(node)
            if node.inputs[0].shape == tensor.shape:
                length = len(chain)
            node = self.producer(node.inputs[0])
        return chain[:length]

    def producer(self, tensor: Tensor) -> Node | None:
        """The operator that makes `tensor`; None for an input or a constant."""
        return self._producers.get(id(tensor))

    def is_constant(self, tensor: Tensor) -> bool:
        """True if its values are in the file, be it in float16 behind a DEQUANTIZE."""
        producer = self.producer(tensor)
        return tensor.constant or (
            producer is not None and producer.operator == "DEQUANTIZE" and producer.inputs[0].constant
        )

    def value(self, tensor: Tensor) -> np.ndarray | None:
        """The values of a constant, in its shape; None if `tensor` is none, or of a type that NumPy lacks."""
        if not self.is_constant(tensor):
            return None
        if not tensor.constant:
            stored = self.value(self.producer(tensor).inputs[0])
            return stored.astype(np.float32) if stored.dtype == np.float16 else None
        data = self._model.buffers[self._main.tensors[tensor.index].buffer].data
        if data is None or tensor.dtype not in _NUMPY:
            return None
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), _NUMPY[tensor.dtype]).reshape(tensor.shape)


def read(content: bytes) -> object:
    """The `schema.ModelT` of a file's bytes."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(content)


@cache
def enum_names(enum: str) -> dict[int, str]:
    """Code -> name of one of the schema's enumerations."""
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(getattr(schema, enum)).items() if isinstance(value, int)}


def _stored_bytes(buffer):
    return len(buffer.data) if buffer.data is not None else buffer.size
