"""Runs one TFLite file in a process of its own: on the GPU delegate, or to measure its memory.

Started by path and free of other `segcourse` imports, so that nothing but LiteRT is in the process.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np


def run_on_gpu(model: str, images: str, results: str) -> None:
    """`images` (.npy, [N, H, W, C]) through `model` on the GPU alone; its outputs go to `results` (.npz)."""
    from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

    # GPU | CPU would fall back silently, operator by operator, and still say "fully accelerated".
    compiled = CompiledModel.from_file(model, hardware_accel=HardwareAccelerator.GPU)
    name = next(iter(compiled.get_signature_list()))
    details = compiled.get_output_tensor_details(name)
    inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    read = {output: [] for output in details}
    for image in np.load(images):
        inputs[0].write(image[np.newaxis])
        compiled.run_by_index(0, inputs, outputs)
        for buffer, (output, tensor) in zip(outputs, details.items(), strict=True):
            values = buffer.read(int(np.prod(tensor["shape"])), np.dtype(tensor["dtype"]))
            read[output].append(values.reshape(tensor["shape"]))
    np.savez(results, **{output: np.concatenate(values) for output, values in read.items()})


def run_each_on_gpu(folder: str) -> None:
    """Every `*.tflite` of the folder, each in a fork, for some abort their process.

    A file `x.tflite` has its input in `x.in.npy`; its outputs go to `x.npz` by signature name, its log to
    `x.log`, and the exit code of its process to `x.code`.
    """
    import ai_edge_litert.compiled_model  # noqa: F401 - imported once, for all forks

    for model in sorted(Path(folder).glob("*.tflite")):
        process = os.fork()
        if process:
            status = os.waitpid(process, 0)[1]
            model.with_suffix(".code").write_text(str(os.waitstatus_to_exitcode(status)))
            continue
        log = os.open(model.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.alarm(600)  # a process that hangs
        try:
            _all_outputs(model)
        except BaseException as error:
            os.write(2, f"{error}\n".encode())
            os._exit(1)
        os._exit(0)  # without what the parent would do at its end


def _all_outputs(model):
    from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

    compiled = CompiledModel.from_file(str(model), hardware_accel=HardwareAccelerator.GPU)
    details = compiled.get_output_tensor_details(next(iter(compiled.get_signature_list())))
    inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    inputs[0].write(np.load(model.with_suffix(".in.npy")))
    compiled.run_by_index(0, inputs, outputs)
    results = {
        name: buffer.read(int(np.prod(d["shape"])), np.dtype(d["dtype"])).reshape(d["shape"])
        for buffer, (name, d) in zip(outputs, details.items(), strict=True)
    }
    np.savez(model.with_suffix(".npz"), **results)


def peak_memory(model: str, threads: str, *shape: str) -> None:
    """Print the process' peak memory in bytes: before it has the file, and after one image of `shape`."""
    from ai_edge_litert.interpreter import Interpreter

    before = _peak_bytes()
    interpreter = Interpreter(model, num_threads=int(threads))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [int(n) for n in shape])
    interpreter.allocate_tensors()
    interpreter.invoke()
    print(before, _peak_bytes())


def _peak_bytes():
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the parent's memory, inherited through fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


if __name__ == "__main__":
    {"gpu": run_on_gpu, "each": run_each_on_gpu, "memory": peak_memory}[sys.argv[1]](*sys.argv[2:])
