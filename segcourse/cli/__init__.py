"""The `segcourse` command: a thin layer over the package.

TensorFlow, Keras and everything else that is slow to import comes in with the command that needs it, so that
`segcourse --help` is instant. Exit codes: 0 done, 1 failed at work, 2 badly used.
"""

from segcourse.cli.base import app, data_app
from segcourse.cli.data import data_check, data_fix, data_get, data_list
from segcourse.cli.evaluate import evaluate
from segcourse.cli.export import export
from segcourse.cli.lessons import start, student
from segcourse.cli.predict import predict
from segcourse.cli.setup import doctor
from segcourse.cli.studies import study
from segcourse.cli.train import train

__all__ = ["app", "main"]

for command in (doctor, train, evaluate, predict, export, study, start, student):  # in the order of --help
    app.command()(command)
for name, command in {"list": data_list, "get": data_get, "check": data_check, "fix": data_fix}.items():
    data_app.command(name)(command)


def main() -> None:
    """Entry point of the `segcourse` command."""
    app(prog_name="segcourse")
