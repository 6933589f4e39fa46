"""From a Keras network to a file for phones, with proof: TensorFlow Lite (today called LiteRT).

    path = convert(model, "fcn8s.tflite", input_size=(96, 128), quantization="float16")
    print(inspect(path))                      # operators, shapes, size, and what a mobile GPU would not take
    print(compare(model, path, images))       # does the file agree with Keras?
    print(float16_ranges(float32_path, images))  # does the network fit into what a mobile GPU computes in?
    print(miou_drop(model, path, images, labels))
    print(benchmark(path, images, model=model))
    logits = run_on_gpu_delegate(path, images)

TensorFlow is needed by `convert` alone and imported there; everything else runs on the small `ai-edge-litert`
package.
"""

from segcourse.tflite.agreement import Agreement, LabelAgreement, agreement, compare, with_cpu
from segcourse.tflite.annotation import Metadata, annotate, metadata
from segcourse.tflite.benchmarking import Benchmark, benchmark
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
from segcourse.tflite.int8 import Drop, LayerError, LayerErrors, layer_errors, miou_drop
from segcourse.tflite.latency import OperatorLatency, operator_latencies
from segcourse.tflite.ranges import Float16Ranges, RangeProblem, TensorRange, float16_ranges
from segcourse.tflite.runtime import Runner

__all__ = [
    "Agreement",
    "Benchmark",
    "ConversionError",
    "Drop",
    "Float16Ranges",
    "GpuDelegateError",
    "GpuDelegateInvalid",
    "GpuDelegateRefused",
    "GpuDelegateTimeout",
    "GpuDelegateUnavailable",
    "LabelAgreement",
    "LayerError",
    "LayerErrors",
    "Metadata",
    "OperatorLatency",
    "Problem",
    "RangeProblem",
    "Report",
    "Runner",
    "Tensor",
    "TensorRange",
    "agreement",
    "annotate",
    "benchmark",
    "compare",
    "convert",
    "float16_ranges",
    "gpu_delegate_available",
    "in_precision",
    "inspect",
    "layer_errors",
    "metadata",
    "miou_drop",
    "operator_latencies",
    "run_on_gpu_delegate",
    "why_unavailable",
    "with_cpu",
    "write_card",
]
