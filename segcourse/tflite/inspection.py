"""What is inside a `.tflite` file, and what in it keeps the network off a mobile GPU."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from segcourse.tflite import rules
from segcourse.tflite.files import readable
from segcourse.tflite.graph import Graph, Tensor, read
from segcourse.tflite.rules import Problem

__all__ = ["Problem", "Report", "Tensor", "inspect"]


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
    graph = Graph(read(content))
    counts = Counter(node.operator for node in graph.nodes)
    return Report(
        path=path,
        file_bytes=len(content),
        operators=dict(counts.most_common()),
        inputs=graph.signature("inputs"),
        outputs=graph.signature("outputs"),
        tensors=tuple(t for t in graph.tensors if not t.constant),
        parameter_bytes=graph.parameter_bytes,
        macs=sum(node.macs for node in graph.nodes),
        problems=_merged(list(rules.problems(graph))),
    )


def _merged(problems):
    """One entry per operator and reason, in order of first appearance."""
    counts = Counter((p.operator, p.reason) for p in problems)
    firsts = {(p.operator, p.reason): p for p in reversed(problems)}
    return tuple(Problem(*key, firsts[key].fix, firsts[key].where, count) for key, count in counts.items())
