"""Score a model."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import Imports, ModelFile, Size
from segcourse.cli.base import progress, quiet_import, table


def evaluate(
    model: ModelFile,
    data: Annotated[
        str | None,
        typer.Option(help="A data set's name, or a folder; by default that of the run, or toycam."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="train, val or test; a folder may lack test, and has all.")
    ] = "val",
    size: Size = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write the scores here as well.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            metavar="FOLDER",
            help="Write FOLDER/report.html: scores, confusion matrix, curves, and the worst pictures first.",
        ),
    ] = None,
    by_id: Annotated[
        bool, typer.Option("--by-id", help="Compare class ids, although the names are not the model's.")
    ] = False,
    modules: Imports = None,
) -> None:
    """Score a model: mean and per-class IoU, accuracies, boundary F1.

    Pictures are brought to the size that the run was trained with, if it was given one.

    Example: segcourse evaluate runs/fcn8s/model.keras --split test --report runs/fcn8s/test
    """
    quiet_import()
    from segcourse import datasets, runs

    remembered, label = runs.remembered(model), runs.Labeller(model)
    data = data or remembered.data or "toycam"
    runs.refuse_hidden(data)
    datasets.checked(data, (split,), typer.echo)
    spec = datasets.spec(data)
    if label.classes != len(spec):
        raise typer.BadParameter(f"{model} tells {label.classes} classes apart, but {data} has {len(spec)}.")
    if not by_id:
        runs.refuse_other_names(model, spec.classes, data)
    if size is None and remembered.resized:
        size = remembered.size
        typer.echo("Pictures are brought to {}x{}, as in training; --size gives another.".format(*size))
    pictures = datasets.opened(data, (split,), size, report=typer.echo)[split]
    if label.size and label.size != pictures.size:
        typer.echo("The model takes {}x{} only: images are resized to it, labels back.".format(*label.size))
    truth, predicted = [], []
    for image, labels in progress(pictures, "evaluate"):
        truth.append(labels)
        predicted.append(label(image))
    scores = runs.score_labels(truth, predicted, len(spec))
    rows = [(name, f"{scores[name]:.4f}") for name in scores if name != "iou"]
    ious = dict(zip(spec.classes, scores["iou"], strict=True))
    rows += [(f"IoU {name}", "absent" if iou != iou else f"{iou:.4f}") for name, iou in ious.items()]
    table(("score", f"{data} {split} ({len(pictures)} images)"), rows)
    origin = {"model": model.name, "data": data, "split": split, "images": len(pictures)}
    if json_file:
        runs.write_json(json_file, {**origin, **scores, "iou": ious})
    if report:
        shown = {**origin, "model": str(model)}
        path = runs.write_report(report, model, shown, spec, pictures, predicted, scores, _names(data, split))
        typer.echo(f"report: {shlex.quote(str(path))}")


def _names(data, split):
    """The file names of a folder's pictures; None for a built-in data set, whose pictures have numbers."""
    from segcourse import datasets
    from segcourse.datasets.folder import Folder

    if data in datasets.names():
        return None
    return [picture.name for picture, _ in Folder(data).pairs(split)]
