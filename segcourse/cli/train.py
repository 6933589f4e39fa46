"""Train a network."""

import inspect
import shlex
from pathlib import Path
from typing import Annotated

import typer

from segcourse.cli.arguments import Data, Size, choice, key_value, read_size
from segcourse.cli.base import quiet_import, table

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
LOSSES = ("cross-entropy", "focal", "dice")
CLASS_WEIGHTS = ("median-frequency", "enet")
PLACES = ("auto", "memory", "cache", "disk")


def train(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="A name such as fcn8s; a wrong one lists them all.")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of this run.", metavar="RUN")],
    data: Data = "toycam",
    size: Size = None,
    crop: Annotated[
        tuple | None,
        typer.Option(
            parser=read_size,
            metavar="HxW",
            help="Train on random crops: for pictures that differ in size, or are too large.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 20,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    learning_rate: Annotated[float, typer.Option(min=0, help="Adam's at the start; falls to 0.")] = 1e-3,
    loss: Annotated[
        str, typer.Option(parser=choice(LOSSES), metavar="|".join(LOSSES), help="Void never counts.")
    ] = "cross-entropy",
    class_weights: Annotated[
        str | None,
        typer.Option(
            parser=choice(CLASS_WEIGHTS),
            metavar="|".join(CLASS_WEIGHTS),
            help="Rare classes weigh more in the loss.",
        ),
    ] = None,
    width: Annotated[
        float, typer.Option(min=0.01, help="Scales the channels; 1 is the paper's network.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Start from a .weights.h5 or .keras file; the number of classes may differ.",
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(parser=choice(PRECISIONS), metavar="|".join(PRECISIONS))
    ] = "float32",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Further argument of the network; repeatable. --option help lists them.",
        ),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what the folder holds.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write RUN/tensorboard (pip install tensorboard).")
    ] = False,
    read_from: Annotated[
        str,
        typer.Option(
            parser=choice(PLACES),
            metavar="|".join(PLACES),
            help="Where each epoch reads a folder's pictures: memory; cache, one file on disk with them "
            "decoded and resized; disk, their own files. auto: memory up to a quarter of the machine's, else "
            "cache.",
        ),
    ] = "auto",
    distribute: Annotated[
        bool,
        typer.Option(
            "--distribute",
            help="Divide every batch among all devices of this machine, or of the workers in TF_CONFIG.",
        ),
    ] = False,
) -> None:
    """Train a network; the same command continues an interrupted run.

    Writes into RUN: model.keras (the best epoch, also after Ctrl-C), history.json, classes.json, and what a
    resumed run needs.

    Example: segcourse train fcn8s --out runs/fcn8s --option padding=same --option fc6_size=3
    """
    if "help" in (option or ()):
        _list_options(network)
        return
    settings = {
        "network": network, "arguments": {"width": width, **_arguments(option or ())}, "data": data,
        "size": size, "crop": crop, "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "loss": loss, "class_weights": class_weights, "seed": seed,
        "weights": weights and str(weights), "precision": precision,
    }  # fmt: skip
    quiet_import()
    from segcourse import runs

    try:
        record = runs.train(out, settings, not restart, typer.echo, tensorboard, distribute, read_from)
    except KeyboardInterrupt:
        _say_interrupted(out, epochs, restart)
        raise typer.Exit(130) from None
    if "val" not in record:
        typer.echo(f"This worker is done; the first one writes {out}.")
        return
    scores, seconds = record["val"], sum(record["history"]["seconds"])
    again = shlex.join(["segcourse", "evaluate", str(out / "model.keras")])
    typer.echo(
        f"val: mean IoU {scores['miou']:.3f}, pixel accuracy {scores['pixel_accuracy']:.3f} "
        f"after {seconds:.0f} s\nnext: {again}"
    )


def _arguments(options):
    arguments = dict(map(key_value, options))
    if "width" in arguments:
        raise typer.BadParameter("--option width: give --width instead.")
    return arguments


def _list_options(network):
    """What `--option` takes for this network, with the defaults: the paper's, but for the width."""
    quiet_import()
    from segcourse import models

    if network not in models.MODELS:
        raise typer.BadParameter(f"There is no network {network!r}. Known: {', '.join(models.MODELS)}.")
    known = inspect.signature(models.MODELS[network]).parameters.values()
    rows = [(each.name, repr(each.default)) for each in known if each.name not in ("width", "classes")]
    table((f"--option of {network}", "by default"), rows)


def _say_interrupted(out, epochs, restart):
    from segcourse.runs.identity import epochs_done

    done = epochs_done(out)
    same = f"The same command{' without --restart' if restart and done else ''} continues"
    if done:
        model = f"{out / 'model.keras'} has the weights of the best one."
        typer.echo(f"\nInterrupted after epoch {done} of {epochs}. {model} {same}.", err=True)
    else:
        typer.echo(f"\nInterrupted in the first epoch: nothing is kept. {same} from the start.", err=True)
