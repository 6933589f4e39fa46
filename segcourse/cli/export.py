"""A network to the phone: export."""

from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import ModelFile, choice, read_size
from segcourse.cli.base import fail, quiet_import

QUANTIZATIONS = ("float16", "dynamic", "int8")
MEASURED_ONLY = ("dynamic", "int8")  # what 8-bit weights cost depends on the network: no limit fits all
REPRESENTATIVE_IMAGES = 100
CHECKED_IMAGES = 8


def export(
    model: ModelFile,
    out: Annotated[Path, typer.Option(dir_okay=False, metavar="FILE.tflite")],
    size: Annotated[
        tuple, typer.Option(parser=read_size, metavar="HxW", help="The one size the file is for.")
    ],
    quantization: Annotated[
        str | None, typer.Option(parser=choice(QUANTIZATIONS), metavar="|".join(QUANTIZATIONS))
    ] = None,
    data: Annotated[
        str, typer.Option(help="Images for int8's ranges (train) and the comparison (val).")
    ] = "toycam",
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if the file disagrees, or a mobile GPU will not take it.")
    ] = False,
) -> None:
    """Write a TFLite file for phones, and compare it with the model.

    Example: segcourse export runs/fcn8s/model.keras --out fcn8s.tflite --size 96x128 --check
    """
    if out.suffix != ".tflite":
        raise typer.BadParameter(f"--out is {out}; the name must end in .tflite.")
    quiet_import()
    from segcourse import runs, tflite

    network = runs.load_model(model)
    images, representative = runs.samples(network, data, "val", size, CHECKED_IMAGES), None
    if quantization == "int8":
        representative = runs.samples(network, data, "train", size, REPRESENTATIVE_IMAGES)
    tflite.convert(network, out, size, quantization, representative)
    report, agreement = tflite.inspect(out), tflite.compare(network, out, images)
    typer.echo(f"{report}\nagreement with {model.name} on {len(images)} images of {data}: {agreement}")
    problems = [*map(str, report.problems)]
    if quantization not in MEASURED_ONLY:
        problems += agreement.failures(quantization)
    if check:
        problems += _gpu_problems(out, quantization, images[:1])
    if check and problems:
        fail(f"{out} is written, but: {'; '.join(problems)}")
        raise typer.Exit(1)


def _gpu_problems(path, quantization, images):
    """What LiteRT's real GPU delegate says of the file; empty if all is well or the machine cannot run it."""
    from segcourse import tflite

    try:
        on_gpu = tflite.agreement(tflite.Runner(path)(images), tflite.run_on_gpu_delegate(path, images))
    except tflite.GpuDelegateUnavailable as error:
        typer.echo(f"GPU delegate: not tried. {error}")
        return []
    except tflite.GpuDelegateError as error:
        return [str(error)]
    typer.echo(f"GPU delegate: takes the whole network; against the CPU {on_gpu}")
    return [f"GPU against CPU: {failure}" for failure in on_gpu.failures(quantization)]
