"""A network to the phone: export."""

from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import ModelFile, choice, read_size
from segcourse.cli.base import fail, quiet_import
from segcourse.cli.judging import MAX_DROP, Judge

QUANTIZATIONS = ("float16", "dynamic", "int8")
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
        str | None,
        typer.Option(
            help="Images for int8's ranges (train) and the comparison (val); by default what the run beside "
            "MODEL was trained on, else toycam."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 if the file disagrees, or a mobile GPU will not take it.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help=f"Exit 1 if it loses more mean IoU (0.02: two points); --check allows int8 {MAX_DROP}.",
        ),
    ] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER", help="A layer that int8 leaves in float32; may be repeated."),
    ] = None,
    calibration: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images of train that int8's ranges come from.")
    ] = 100,
) -> None:
    """Write a TFLite file for phones, and compare it with the model.

    Example: segcourse export runs/fcn8s/model.keras --out fcn8s.tflite --size 96x128 --check
    """
    if out.suffix != ".tflite":
        raise typer.BadParameter(f"--out is {out}; the name must end in .tflite.")
    quiet_import()
    from segcourse import runs, tflite

    network = runs.load_model(model)
    data = data or runs.data_of(model)
    images, representative = runs.samples(network, data, "val", size, CHECKED_IMAGES), None
    if quantization == "int8":
        representative = runs.spread(runs.samples(network, data, "train", size), calibration)
    tflite.convert(network, out, size, quantization, representative, keep_float or ())
    report, agreement = tflite.inspect(out), tflite.compare(network, out, images)
    typer.echo(f"{report}\nagreement with {model.name} on {len(images)} images of {data}: {agreement}")
    with Judge(network, out, quantization, size, images) as judge:
        problems = []
        if quantization == "int8":
            judge.layers()
            judge.speed()
        if quantization == "int8" or max_drop is not None:
            allowed = MAX_DROP if check and max_drop is None else max_drop
            problems += judge.drop(data, *runs.labelled(network, data, "val", size), allowed)
        if check:
            problems += [*map(str, report.problems), *agreement.failures(quantization)]
            problems += judge.float16() + judge.gpu()
    if problems:
        fail(f"{out} is written, but: {'; '.join(problems)}")
        raise typer.Exit(1)
