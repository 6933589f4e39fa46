"""How long each operator of a `.tflite` file takes.

The `ai-edge-litert` wheel has no profiler (LiteRT's C++ benchmark tool has). So each operator is cut out into
a file of its own and timed alone, on the same kernels. What this leaves out: values that stay in the cache
from one operator to the next, and operators that XNNPACK merges.
"""

from __future__ import annotations

import copy
import os
import time
from dataclasses import dataclass

import flatbuffers
import numpy as np

from segcourse.tflite.files import IDENTIFIER, readable
from segcourse.tflite.graph import Graph, read
from segcourse.tflite.runtime import Runner

WARM_UP = 3


@dataclass(frozen=True)
class OperatorLatency:
    """What one operator takes.

    Attributes:
        operator: its name, e.g. "CONV_2D".
        output: name of the tensor that it computes, which tells the layer.
        shape: of that tensor.
        seconds: median latency of the operator alone.
        share: of the sum over all operators, 0..1.
    """

    operator: str
    output: str
    shape: tuple[int, ...]
    seconds: float
    share: float

    def __str__(self):
        size = "x".join(map(str, self.shape))
        return f"{1e3 * self.seconds:8.3f} ms {self.share:6.1%}  {self.operator} {size}  {self.output}"


def operator_latencies(
    path: str | os.PathLike, threads: int | None = None, runs: int = 20
) -> list[OperatorLatency]:
    """Time every operator of a TFLite file by itself, on this machine's CPU.

    Operators that work on constants alone, such as the unpacking of float16 weights, are done once when a
    file is loaded; they are part of the operator that uses them and not listed.

    Args:
        path: a `.tflite` file of one fixed input size.
        threads: as in `Runner`.
        runs: measured runs of each operator, after 3 for warming up.

    Returns:
        One `OperatorLatency` per operator, in the order of computation.

    Raises:
        FileNotFoundError, IsADirectoryError: there is no file at `path`.
        ValueError: no TFLite file of a fixed size, `runs` is not positive, or control flow is in the file.
    """
    if runs < 1:
        raise ValueError(f"runs is {runs}; needed is 1 or more, e.g. runs=20.")
    path, threads = readable(path), Runner(path, threads).threads
    parts = _Parts(path.read_bytes(), path)
    timed = [(i, _seconds(parts.file(i), threads, runs)) for i in parts.computed]
    total = sum(seconds for _, seconds in timed)
    found = []
    for i, seconds in timed:
        node, tensor = parts.node(i), parts.node(i).outputs[0]
        found.append(OperatorLatency(node.operator, tensor.name, tensor.shape, seconds, seconds / total))
    return found


class _Parts:
    """A file taken to pieces, one operator each."""

    def __init__(self, content, path):
        from ai_edge_litert import schema_py_generated as schema

        self._schema, self._model = schema, read(content)
        if len(self._model.subgraphs) > 1:
            raise ValueError(
                f"{path} has control flow (more than one graph), which cannot be taken to pieces."
            )
        self._graph, self._nodes = self._model.subgraphs[0], Graph(self._model).nodes
        self._maker = {int(t): i for i, op in enumerate(self._graph.operators) for t in op.outputs}
        constant = set()
        for i, operator in enumerate(self._graph.operators):
            if all(self._is_constant(t, constant) for t in operator.inputs):
                constant.add(i)
        self._constant = constant
        self.computed = [i for i in range(len(self._graph.operators)) if i not in constant]

    def _is_constant(self, tensor, constant_operators):
        return tensor < 0 or self._stored(tensor) or self._maker.get(int(tensor)) in constant_operators

    def _stored(self, tensor):
        buffer = self._model.buffers[self._graph.tensors[tensor].buffer]
        return buffer.size > 0 or buffer.data is not None and len(buffer.data) > 0

    def node(self, index):
        """The operator in plain names."""
        return self._nodes[index]

    def file(self, index):
        """The bytes of a TFLite file with this operator alone, and those whose constants it uses."""
        chosen = self._with_makers(index)
        operators = [copy.copy(self._graph.operators[i]) for i in sorted(chosen)]
        kept = sorted({int(t) for op in operators for t in (*op.inputs, *op.outputs) if t >= 0})
        place = {tensor: new for new, tensor in enumerate(kept)}
        tensors, buffers = [], [self._schema.BufferT()]
        for tensor in kept:
            tensors.append(copy.copy(self._graph.tensors[tensor]))
            tensors[-1].buffer = len(buffers) if self._stored(tensor) else 0
            if self._stored(tensor):
                buffers.append(self._model.buffers[self._graph.tensors[tensor].buffer])
        for operator in operators:
            operator.inputs = [place.get(int(t), -1) for t in operator.inputs]
            operator.outputs = [place[int(t)] for t in operator.outputs]
        made = {t for operator in operators for t in operator.outputs}
        graph = self._schema.SubGraphT(
            tensors=tensors,
            operators=operators,
            inputs=[i for i, t in enumerate(kept) if i not in made and not self._stored(t)],
            outputs=operators[-1].outputs,
        )
        codes = self._model.operatorCodes
        return _packed(
            self._schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
        )

    def _with_makers(self, index):
        """The operator, and all before it that only work on constants for it."""
        chosen, waiting = set(), [index]
        while waiting:
            chosen.add(current := waiting.pop())
            makers = {self._maker.get(int(t)) for t in self._graph.operators[current].inputs}
            waiting += (makers & self._constant) - chosen
        return chosen


def _packed(model):
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _seconds(content, threads, runs):
    """Median latency of a file fed with noise."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    random = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        # Small whole numbers are right for every dtype; indices and sizes are constants, not inputs.
        interpreter.set_tensor(
            details["index"], random.integers(0, 2, details["shape"]).astype(details["dtype"])
        )
    seconds = []
    for _ in range(WARM_UP + runs):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[WARM_UP:]))
