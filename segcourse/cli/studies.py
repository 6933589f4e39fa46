"""Stored experiments: list, check, run, score."""

from typing import Annotated

import typer

from segcourse.cli.base import fail, quiet_import, table


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
    quiet_import()
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
        fail(str(error))
        raise typer.Exit(1) from error


def _list_studies(names, check, probe):
    """Show the studies and the states of their results; with `check`, exit 1 if one is out of date."""
    from segcourse import studies
    from segcourse.studies.core import state

    states = {name: state.state(name, with_probe=probe) for name in names}
    table(("study", "what", "cost", "stored result"), [
        (name, studies.get(name).title, studies.get(name).cost, states[name].name) for name in names
    ])  # fmt: skip
    stale = [name for name, found in states.items() if found.name == "out of date"]
    for name in stale if check else ():
        fail(f"{name} is out of date: {'; '.join(states[name].why)}. Run: segcourse study {name}")
    if edited := [name for name, found in states.items() if found.name == "source edited"]:
        typer.echo(f"{len(edited)} were measured before the code was edited: --check --probe tells more.")
    if check and stale:
        raise typer.Exit(1)
