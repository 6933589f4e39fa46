"""The `segcourse` command: a thin layer over the package.

TensorFlow, Keras and everything else that is slow to import comes in with the command that needs it, so that
`segcourse --help` is instant. Exit codes: 0 done, 1 failed at work, 2 badly used.
"""

import ast
import logging
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
QUANTIZATIONS = ("float16", "dynamic", "int8")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
MEASURED_ONLY = ("dynamic", "int8")  # what 8-bit weights cost depends on the network: no limit fits all
REPRESENTATIVE_IMAGES = 100
CHECKED_IMAGES = 8
LONGEST_MESSAGE = 600


class _Commands(TyperGroup):
    """Turns what goes wrong into one line on stderr and exit code 1, unless a traceback is asked for."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except Exception as error:
            # What Typer itself raises (bad use, exit, abort) carries its exit code.
            if ctx.params["debug"] or hasattr(error, "exit_code") or isinstance(error, typer.Abort):
                raise
            from segcourse.runs import BadRequest

            if isinstance(error, BadRequest):
                raise typer.BadParameter(str(error)) from error
            _fail(_one_line(error))
            raise typer.Exit(1) from error


def _one_line(error):
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, ValueError | OSError | ArithmeticError | RuntimeError | ImportError):
        return (
            text
            if len(text) < LONGEST_MESSAGE
            else f"{text[:LONGEST_MESSAGE]} ... (all of it: segcourse --debug)"
        )
    return f"{type(error).__name__}: {text[:LONGEST_MESSAGE]} (segcourse --debug ... shows where)"


def _quiet_import():
    """Import TensorFlow without the log that it writes straight to file descriptor 2 while it starts."""
    # Images of many sizes need many traces, which is no news here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _fail(text):
    typer.secho(f"error: {text}", err=True, fg="red")


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, help="List the data sets, or fetch one.")
app.add_typer(data_app, name="data")


def _version(wanted: bool):
    if wanted:
        from segcourse import __version__

        typer.echo(f"segcourse {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SEGCOURSE_DEBUG", help="Show the traceback of a failure.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
):
    """Semantic segmentation, network by network: train, score, predict, and ship to a phone.

    Every command has its own --help with an example.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _size(text):
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise typer.BadParameter(f"{text!r} is no size. Give height x width in pixels, for example 96x128.")
    return int(height), int(width)


def _choice(known):
    def parse(text):
        if text not in known:
            raise typer.BadParameter(f"there is no {text!r}. Choose from {', '.join(known)}.")
        return text

    return parse


def _data_set(text):
    from segcourse import datasets

    return _choice(datasets.names())(text)


Data = Annotated[str, typer.Option(help="A data set's name, or a folder with images/, masks/, classes.txt.")]
Size = Annotated[
    str | None, typer.Option(parser=_size, metavar="HxW", help="Resize everything to height x width.")
]
ModelFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A .keras or .tflite file.", metavar="MODEL")
]


@app.command()
def doctor() -> None:
    """Is this machine ready? Prints OK or FAIL with the fix.

    Example: segcourse doctor
    """
    from segcourse import doctor

    raise typer.Exit(doctor.main())


@data_app.command("list")
def data_list() -> None:
    """Every data set: what it is, its size on disk, and where it is.

    Example: segcourse data list
    """
    from segcourse.datasets.table import TABLE

    _table(("name", "what", "splits here", "on disk", "where"), map(_data_row, TABLE.values()))
    typer.echo("A folder of your own works as well: see data/folder.md.")


def _data_row(row):
    from segcourse.paths import cache_folder

    what, here = "{}, {}x{}, {} classes".format(row.about, *row.size, len(row.spec)), row.here()
    if not here:
        return row.name, what, f"not here: segcourse data get {row.name}", "0 MB", "-"
    folder = cache_folder() if row.drawn else row.module.folder(here[0])
    files = list(folder.glob(f"{row.name}-*.npz" if row.drawn else "*/*.png"))
    disk = f"{sum(file.stat().st_size for file in files) / 1e6:.0f} MB"
    return row.name, what, ", ".join(here), disk, str(folder) if files else "-"


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(parser=_data_set, metavar="NAME")],
) -> None:
    """Fetch a data set into the cache folder (SEGCOURSE_DATA); run it again to continue a broken download.

    Example: segcourse data get camvid
    """
    from segcourse import datasets
    from segcourse.datasets.table import TABLE

    if TABLE[name].drawn:
        for split in TABLE[name].splits:
            count = len(datasets.load(name, split)[0])
            typer.echo(f"{name} {split}: {count} scenes in {datasets.cache_folder()}")
        return
    typer.echo(f"{name} is complete in {datasets.fetch(name)}")


@app.command()
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
        str, typer.Option(parser=_choice(PRECISIONS), metavar="|".join(PRECISIONS))
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
    arguments = {"width": width, **dict(map(_key_value, option or ()))}
    settings = {
        "network": network, "arguments": arguments, "data": data, "size": size, "epochs": epochs,
        "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed,
        "weights": weights and str(weights), "precision": precision,
    }  # fmt: skip
    _quiet_import()
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


def _key_value(text):
    key, equals, value = text.partition("=")
    if not (key.isidentifier() and equals and value):
        raise typer.BadParameter(f"--option {text!r} is not KEY=VALUE, for example padding=same.")
    try:
        return key, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return key, value


def _tqdm(items, what):
    from tqdm.auto import tqdm

    return tqdm(items, desc=what, unit="image", disable=not sys.stderr.isatty())


@app.command()
def evaluate(
    model: ModelFile,
    data: Data = "toycam",
    split: Annotated[str, typer.Option(help="train, val or test; a folder has train, val, all.")] = "val",
    size: Size = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write the scores here as well.")
    ] = None,
) -> None:
    """Score a model: mean and per-class IoU, accuracies, boundary F1.

    Example: segcourse evaluate runs/fcn8s/model.keras --data toycam --split test
    """
    _quiet_import()
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
    _table(("score", f"{data} {split} ({len(images)} images)"), rows)
    if json_file:
        origin = {"model": model.name, "data": data, "split": split, "images": len(images)}
        runs.write_json(json_file, {**origin, **scores, "iou": ious})


def _say_size(label):
    if label.size:
        typer.echo("The model takes {}x{} only: images are resized to it, labels back.".format(*label.size))


@app.command()
def predict(
    model: ModelFile,
    images: Annotated[Path, typer.Argument(exists=True, help="An image, or a folder of them.")],
    out: Annotated[Path, typer.Option(file_okay=False, metavar="FOLDER", help="Where the results go.")],
    classes: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Class list; by default classes.json beside the model."
        ),
    ] = None,
) -> None:
    """Label images of any size: class ids as palette PNGs in FOLDER/labels, pictures in FOLDER/overlay.

    A file that is no image is named at the end and makes the exit code 1; the others are done.

    Example: segcourse predict runs/fcn8s/model.keras holiday/ --out labelled/
    """
    paths = _image_files(images)
    _quiet_import()
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
        _fail(error)
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


@app.command()
def export(
    model: ModelFile,
    out: Annotated[Path, typer.Option(dir_okay=False, metavar="FILE.tflite")],
    size: Annotated[tuple, typer.Option(parser=_size, metavar="HxW", help="The one size the file is for.")],
    quantization: Annotated[
        str | None, typer.Option(parser=_choice(QUANTIZATIONS), metavar="|".join(QUANTIZATIONS))
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
    _quiet_import()
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
        _fail(f"{out} is written, but: {'; '.join(problems)}")
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


@app.command()
def study(
    name: Annotated[str | None, typer.Argument(help="The study to run.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the studies (also without NAME).")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run nothing; exit 1 if a stored result is out of date.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="With --check: where the code was edited, see what it does now.")
    ] = False,
    record: Annotated[
        bool, typer.Option("--record", help="Note in a stored result that today's code does the same.")
    ] = False,
    score: Annotated[
        bool, typer.Option("--score", help="Score the weights that a study has stored, as they are stored.")
    ] = False,
    part: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="Run this part alone; may be repeated.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run finished parts (--part) once more.")] = False,
) -> None:
    """Run one of the course's experiments and store its result in data/results.

    Finished parts are kept: the same command goes on after an interruption. A stored result belongs to
    today's code if that has the same source, or the same behaviour, which a probe of about 15 seconds tells.

    Example: segcourse study fcn
    Example: segcourse study comparison --part unet-2
    Example: segcourse study --check --probe
    """
    if name is None and (record or score or part):
        raise typer.BadParameter("--record, --score and --part need the name of a study.")
    _quiet_import()
    from segcourse import paths, studies

    if name is not None and name not in studies.names():
        raise typer.BadParameter(f"there is no study {name!r}. Choose from {', '.join(studies.names())}.")
    if record:
        typer.echo(f"{name}: {_record(name)}")
    elif score:
        found = studies.score(name, paths.data_folder() / "results")
        typer.echo(f"{name}: scored {', '.join(split for split in found if found[split])} and stored it.")
    elif name and not (list_ or check):
        typer.echo(f"{name}: {studies.get(name).title}. Expect {studies.get(name).cost}.")
        path = studies.run(name, paths.data_folder() / "results", report=typer.echo, parts=part, again=again)
        typer.echo(f"written: {path}")
    else:
        _list_studies([name] if name else studies.names(), check, probe)


def _record(name):
    from segcourse.studies.core import state

    try:
        return state.record(name).name
    except (ValueError, FileNotFoundError) as error:
        _fail(str(error))
        raise typer.Exit(1) from error


def _list_studies(names, check, probe):
    """Show the studies and the states of their results; with `check`, exit 1 if one is out of date."""
    from segcourse import studies
    from segcourse.studies.core import state

    states = {name: state.state(name, with_probe=probe) for name in names}
    _table(("study", "what", "cost", "stored result"), [
        (name, studies.get(name).title, studies.get(name).cost, states[name].name) for name in names
    ])  # fmt: skip
    stale = [name for name, found in states.items() if found.name == "out of date"]
    for name in stale if check else ():
        _fail(f"{name} is out of date: {'; '.join(states[name].why)}. Run: segcourse study {name}")
    if edited := [name for name, found in states.items() if found.name == "source edited"]:
        typer.echo(f"{len(edited)} were measured before the code was edited: --check --probe tells more.")
    if check and stale:
        raise typer.Exit(1)


@app.command()
def student(
    lesson: Annotated[str, typer.Argument(help="A lesson's number or name, or the path of a notebook.")],
    out: Annotated[Path, typer.Option(dir_okay=False, metavar="FILE.ipynb", help="Where it is written.")],
) -> None:
    """Write the student version of a lesson: solutions blanked, checks and hints kept.

    Example: segcourse student 01 --out 01_fcn_student.ipynb
    """
    import nbformat

    from segcourse import exercises

    source = _lesson(lesson)
    if out.resolve() == source.resolve():
        raise typer.BadParameter(f"--out is the lesson itself ({source}). Choose another file.")
    notebook = exercises.student_version(nbformat.read(source, as_version=4))
    out.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, out)
    blanks = sum(exercises.FILLER in cell.source for cell in notebook.cells)
    typer.echo(f"{out}: {source.stem} with {blanks} exercises to fill in")


def _lesson(name):
    from segcourse import paths

    if name.endswith(".ipynb"):
        if not Path(name).is_file():
            raise typer.BadParameter(f"there is no file {name}.")
        return Path(name)
    lessons = sorted((paths.PACKAGE.parent / "notebooks").glob("*.ipynb"))
    found = [path for path in lessons if name in (path.stem, path.stem.partition("_")[0])]
    if not found:
        known = ", ".join(path.stem for path in lessons) or "none: give the path of a notebook"
        raise typer.BadParameter(f"there is no lesson {name!r} here. Known: {known}.")
    return found[0]


def _table(heads, rows):
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(Column(head, overflow="fold") for head in heads))
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def main() -> None:
    """Entry point of the `segcourse` command."""
    app(prog_name="segcourse")


if __name__ == "__main__":
    main()
