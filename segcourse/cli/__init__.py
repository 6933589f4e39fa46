"""The `segcourse` command: a thin layer over the package.

TensorFlow, Keras and everything else that is slow to import comes in with the command that needs it, so that
`segcourse --help` is instant. Exit codes: 0 done, 1 failed at work, 2 badly used.
"""

from segcourse.cli.base import app, data_app
from segcourse.cli.evaluate import evaluate
from segcourse.cli.export import export
from segcourse.cli.lessons import student
from segcourse.cli.predict import predict
from segcourse.cli.setup import data_get, data_list, doctor
from segcourse.cli.studies import study
from segcourse.cli.train import train

__all__ = ["app", "main"]

for command in (doctor, train, evaluate, predict, export, study, student):  # in the order of --help
    app.command()(command)
data_app.command("list")(data_list)
data_app.command("get")(data_get)


def main() -> None:
    """Entry point of the `segcourse` command."""
    app(prog_name="segcourse")
