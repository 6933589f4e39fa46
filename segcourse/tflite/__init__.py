"""From a Keras network to a file for phones, with proof: TensorFlow Lite (today called LiteRT).

    path = convert(model, "fcn8s.tflite", input_size=(96, 128), quantization="float16")
    print(inspect(path))                      # operators, shapes, size, and what a mobile GPU would not take
    print(compare(model, path, images))       # does the file agree with Keras?
    print(benchmark(path, images, model=model))
    logits = run_on_gpu_delegate(path, images)

TensorFlow is needed by `convert` alone and imported there; everything else runs on the small `ai-edge-litert`
package.
"""

from segcourse.tflite.annotation import Metadata, annotate, metadata
from segcourse.tflite.card import write_card
from segcourse.tflite.conversion import ConversionError, convert, in_precision
from segcourse.tflite.gpu import (
    GpuDelegateError,
    GpuDelegateInvalid,
    GpuDelegateRefused,
    GpuDelegateTimeout,
    GpuDelegateUnavailable,
    gpu_delegate_available,
    run_on_gpu_delegate,
    why_unavailable,
)
from segcourse.tflite.inspection import Problem, Report, Tensor, inspect
from segcourse.tflite.latency import OperatorLatency, operator_latencies
from segcourse.tflite.runtime import Agreement, Benchmark, Runner, agreement, benchmark, compare

__all__ = [
    "Agreement",
    "Benchmark",
    "ConversionError",
    "GpuDelegateError",
    "GpuDelegateInvalid",
    "GpuDelegateRefused",
    "GpuDelegateTimeout",
    "GpuDelegateUnavailable",
    "Metadata",
    "OperatorLatency",
    "Problem",
    "Report",
    "Runner",
    "Tensor",
    "agreement",
    "annotate",
    "benchmark",
    "compare",
    "convert",
    "gpu_delegate_available",
    "in_precision",
    "inspect",
    "metadata",
    "operator_latencies",
    "run_on_gpu_delegate",
    "why_unavailable",
    "write_card",
]
