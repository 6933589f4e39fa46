"""A network from training to use: train, evaluate, predict."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import Data, Imports, ModelFile, Size, choice, key_value
from segcourse.cli.base import fail, quiet_import, table

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def train(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="A name such as fcn8s; a wrong one lists them all.")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of this run.", metavar="RUN")],
    data: Data = "toycam",
    size: Size = None,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    learning_rate: Annotated[float, typer.Option(min=0, help="Adam's at the start; falls to 0.")] = 1e-3,
    width: Annotated[
        float, typer.Option(min=0.01, help="Scales the channels; 1 is the paper's network.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Start from a .weights.h5 or .keras file."),
    ] = None,
    precision: Annotated[
        str, typer.Option(parser=choice(PRECISIONS), metavar="|".join(PRECISIONS))
    ] = "float32",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Further argument of the network; repeatable."),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what the folder holds.")] = False,
) -> None:
    """Train a network; the same command continues an interrupted run.

    Writes into RUN: model.keras (the best epoch), history.json, classes.json, and what a resumed run needs.

    Example: segcourse train fcn8s --out runs/fcn8s --option padding=same --option fc6_size=3
    """
    arguments = {"width": width, **dict(map(key_value, option or ()))}
    settings = {
        "network": network, "arguments": arguments, "data": data, "size": size, "epochs": epochs,
        "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed,
        "weights": weights and str(weights), "precision": precision,
    }  # fmt: skip
    quiet_import()
    from segcourse import runs

    try:
        record = runs.train(out, settings, not restart, typer.echo)
    except KeyboardInterrupt:
        typer.echo("\nInterrupted. The same command continues after the last whole epoch.", err=True)
        raise typer.Exit(130) from None
    scores, seconds = record["val"], sum(record["history"]["seconds"])
    typer.echo(
        f"val: mean IoU {scores['miou']:.3f}, pixel accuracy {scores['pixel_accuracy']:.3f} "
        f"after {seconds:.0f} s\nnext: segcourse evaluate {out / 'model.keras'} --data {data}"
    )


def _tqdm(items, what):
    from tqdm.auto import tqdm

    return tqdm(items, desc=what, unit="image", disable=not sys.stderr.isatty())


def evaluate(
    model: ModelFile,
    data: Data = "toycam",
    split: Annotated[str, typer.Option(help="train, val or test; a folder has train, val, all.")] = "val",
    size: Size = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write the scores here as well.")
    ] = None,
    modules: Imports = None,
) -> None:
    """Score a model: mean and per-class IoU, accuracies, boundary F1.

    Example: segcourse evaluate runs/fcn8s/model.keras --data toycam --split test
    """
    quiet_import()
    from segcourse import datasets, runs

    spec, label = datasets.spec(data), runs.Labeller(model)
    if label.classes != len(spec):
        raise typer.BadParameter(f"{model} tells {label.classes} classes apart, but {data} has {len(spec)}.")
    images, truth = datasets.load(data, split, size)
    _say_size(label)
    scores = runs.score(label, _tqdm(images, "evaluate"), truth, len(spec))
    rows = [(name, f"{scores[name]:.4f}") for name in scores if name != "iou"]
    ious = dict(zip(spec.classes, scores["iou"], strict=True))
    rows += [(f"IoU {name}", "absent" if iou != iou else f"{iou:.4f}") for name, iou in ious.items()]
    table(("score", f"{data} {split} ({len(images)} images)"), rows)
    if json_file:
        origin = {"model": model.name, "data": data, "split": split, "images": len(images)}
        runs.write_json(json_file, {**origin, **scores, "iou": ious})


def _say_size(label):
    if label.size:
        typer.echo("The model takes {}x{} only: images are resized to it, labels back.".format(*label.size))


def predict(
    model: ModelFile,
    images: Annotated[Path, typer.Argument(exists=True, help="An image, or a folder of them.")],
    out: Annotated[Path, typer.Option(file_okay=False, metavar="FOLDER", help="Where the results go.")],
    classes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Class list; by default the file's own, or classes.json beside it.",
        ),
    ] = None,
    modules: Imports = None,
) -> None:
    """Label images of any size: class ids as palette PNGs in FOLDER/labels, pictures in FOLDER/overlay.

    A file that is no image is named at the end and makes the exit code 1; the others are done.

    Example: segcourse predict runs/fcn8s/model.keras holiday/ --out labelled/
    """
    paths = _image_files(images)
    quiet_import()
    from segcourse import runs
    from segcourse.datasets import DataError

    label = runs.Labeller(model)
    spec = runs.classes_of(model, label.classes, classes)
    _say_size(label)
    same = Counter(path.stem for path in paths)
    failures = []
    for path in _tqdm(paths, "predict"):
        try:
            runs.label_file(path, label, spec, out, path.stem if same[path.stem] == 1 else path.name)
        except DataError as error:
            failures.append(error)
    typer.echo(f"{len(paths) - len(failures)} of {len(paths)} images labelled in {out}")
    for error in failures:
        fail(error)
    raise typer.Exit(1 if failures else 0)


def _image_files(path):
    if path.is_file():
        return [path]
    found = sorted(
        file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )
    if not found:
        raise typer.BadParameter(f"{path} has no image in it ({', '.join(IMAGE_SUFFIXES)}).")
    return found
