"""A network to the phone: export."""

from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import Imports, ModelFile, choice, read_size
from segcourse.cli.base import fail, in_commands, quiet_import
from segcourse.cli.judging import MAX_DROP, Judge

OUTPUTS = ("logits", "labels", "labels_int32")
INPUT_DTYPES = ("float32", "uint8")
QUANTIZATIONS = ("float16", "dynamic", "int8")
CHECKED_IMAGES = 8


def export(
    model: ModelFile,
    out: Annotated[Path, typer.Option(metavar="FILE.tflite")],
    size: Annotated[
        tuple | None,
        typer.Option(
            parser=read_size, metavar="HxW", help="The one size the file is for; by default the training's."
        ),
    ] = None,
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

    The file has the classes, their colours, the input's range and its origin inside; FILE.md tells them too.

    Example: segcourse export runs/fcn8s/model.keras --out fcn8s.tflite --size 96x128 --check
    """
    quiet_import()
    from segcourse import runs, tflite

    out = _target(out, card)
    if keep_float and quantization != "int8":
        raise typer.BadParameter("--keep-float goes with --quantization int8: other files compute in float.")
    network = runs.load_model(model)
    remembered = runs.remembered(model)
    data, size = data or remembered.data or "toycam", _known_size(size, remembered)
    images, representative = runs.samples(network, data, "val", size, CHECKED_IMAGES), None
    if quantization == "int8":
        representative = runs.samples(network, data, "train", size, calibration, spread=True)
    tflite.convert(
        network,
        out,
        size,
        quantization,
        representative,
        keep_float or (),
        output=output,
        input_dtype=input_dtype,
        classes=_known_classes(model, network.output_shape[-1], classes),
        provenance={**runs.origin_of(model), "quantization": quantization or "float32"},
    )
    report, agreement = tflite.inspect(out), tflite.compare(network, out, images)
    typer.echo(f"{report}\nagreement with {model.name} on {len(images)} images of {data}: {agreement}")
    if card:
        typer.echo(f"model card: {tflite.write_card(out, agreement)}")
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


def _target(out, card):
    from segcourse.tflite.card import own_card
    from segcourse.tflite.files import writable

    try:
        out = writable(out)
        if card:
            own_card(out)
        return out
    except (ValueError, OSError) as error:
        raise typer.BadParameter(f"--out: {in_commands(str(error))}") from error


def _known_size(size, remembered):
    if size is None and remembered.size is None:
        raise typer.BadParameter("There is no run beside MODEL that knows a size: give --size HxW.")
    if size is None:
        typer.echo("The file is for {}x{}, as in training; --size gives another.".format(*remembered.size))
    return size or tuple(remembered.size)


def _known_classes(model, count, file):
    """The class list for the file; None where nothing names the classes and nobody asked for names."""
    from segcourse import runs

    try:
        return runs.classes_of(model, count, file)
    except runs.BadRequest:
        if file:
            raise
        return None
