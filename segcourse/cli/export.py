"""A network to the phone: export."""

from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import Imports, ModelFile, choice, read_size
from segcourse.cli.base import fail, quiet_import

OUTPUTS = ("logits", "labels", "labels_int32")
INPUT_DTYPES = ("float32", "uint8")
QUANTIZATIONS = ("float16", "dynamic", "int8")
MEASURED_ONLY = ("dynamic", "int8")  # what 8-bit weights cost depends on the network: no limit fits all
REPRESENTATIVE_IMAGES = 100
CHECKED_IMAGES = 8


def export(
    model: ModelFile,
    out: Annotated[Path, typer.Option(metavar="FILE.tflite")],
    size: Annotated[
        tuple, typer.Option(parser=read_size, metavar="HxW", help="The one size the file is for.")
    ],
    quantization: Annotated[
        str | None, typer.Option(parser=choice(QUANTIZATIONS), metavar="|".join(QUANTIZATIONS))
    ] = None,
    data: Annotated[
        str, typer.Option(help="Images for int8's ranges (train) and the comparison (val).")
    ] = "toycam",
    output: Annotated[
        str,
        typer.Option(
            parser=choice(OUTPUTS),
            metavar="|".join(OUTPUTS),
            help="labels: the class itself, as uint8 or int32.",
        ),
    ] = "logits",
    input_dtype: Annotated[
        str,
        typer.Option(
            parser=choice(INPUT_DTYPES), metavar="|".join(INPUT_DTYPES), help="Of the image, 0..255."
        ),
    ] = "float32",
    classes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Class list for the file; by default classes.json beside the model.",
        ),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card/--no-card", help="Write a model card FILE.md beside the file.")
    ] = True,
    modules: Imports = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if the file disagrees, or a mobile GPU will not take it.")
    ] = False,
) -> None:
    """Write a TFLite file for phones, and compare it with the model.

    The file has the classes, their colours, the input's range and its origin inside; FILE.md tells them too.

    Example: segcourse export runs/fcn8s/model.keras --out fcn8s.tflite --size 96x128 --check
    """
    quiet_import()
    from segcourse import runs, tflite

    out = _target(out)
    network = runs.load_model(model)
    images, representative = runs.samples(network, data, "val", size, CHECKED_IMAGES), None
    if quantization == "int8":
        representative = runs.samples(network, data, "train", size, REPRESENTATIVE_IMAGES)
    tflite.convert(
        network,
        out,
        size,
        quantization,
        representative,
        output=output,
        input_dtype=input_dtype,
        classes=_known_classes(model, network.output_shape[-1], classes),
        provenance={**runs.origin_of(model), "quantization": quantization or "float32"},
    )
    report, agreement = tflite.inspect(out), _compared(network, out, images, output)
    typer.echo(f"{report}\nagreement with {model.name} on {len(images)} images of {data}: {agreement}")
    if card:
        typer.echo(f"model card: {tflite.write_card(out, agreement)}")
    problems = [*map(str, report.problems)]
    if quantization not in MEASURED_ONLY:
        problems += agreement.failures(quantization)
    if check:
        problems += _gpu_problems(out, quantization, images[:1], output)
    if check and problems:
        fail(f"{out} is written, but: {'; '.join(problems)}")
        raise typer.Exit(1)


def _target(out):
    from segcourse.tflite.files import writable

    try:
        return writable(out)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(f"--out: {error}") from error


def _known_classes(model, count, file):
    """The class list for the file; None where nothing names the classes and nobody asked for names."""
    from segcourse import runs

    try:
        return runs.classes_of(model, count, file)
    except runs.BadRequest:
        if file:
            raise
        return None


def _compared(network, path, images, output):
    from segcourse import runs, tflite

    if output == "logits":
        return tflite.compare(network, path, images)
    from segcourse.prediction import predict

    return runs.EqualLabels.of(predict(network, images), tflite.Runner(path).labels(images))


def _gpu_problems(path, quantization, images, output):
    """What LiteRT's real GPU delegate says of the file; empty if all is well or the machine cannot run it."""
    from segcourse import runs, tflite

    try:
        found = tflite.run_on_gpu_delegate(path, images)
    except tflite.GpuDelegateUnavailable as error:
        typer.echo(f"GPU delegate: not tried. {error}")
        return []
    except tflite.GpuDelegateError as error:
        return [str(error)]
    runner = tflite.Runner(path)
    if output == "logits":
        on_gpu = tflite.agreement(runner(images), found)
    else:
        on_gpu = runs.EqualLabels.of(runner.labels(images), found)
    typer.echo(f"GPU delegate: takes the whole network; against the CPU {on_gpu}")
    return [f"GPU against CPU: {failure}" for failure in on_gpu.failures(quantization)]
