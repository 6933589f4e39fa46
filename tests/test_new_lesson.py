"""The skeleton of a lesson passes the checks of a lesson, so that its author begins on firm ground."""

import ast
import importlib.util

import export_lessons
import nbformat
import new_lesson
import pytest
import test_exercises
from measure_lessons import excess, measure
from test_measure_lessons import said_minutes
from test_notebooks import cell_problems, shape_problems

from segcourse.exercises import NotYet
from segcourse.models import unet
from segcourse.studies import Study


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project with nothing but the skeleton of lesson 08."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "segcourse/models", "segcourse/studies", "tests"):
        (folder / name).mkdir(parents=True)
    (folder / "segcourse/models/__init__.py").touch()
    new_lesson.write("08", folder)
    return folder


@pytest.fixture
def lesson(root):
    return root / "notebooks/08_enet.ipynb"


def test_its_notebook_has_the_form_of_a_lesson(lesson):
    notebook = nbformat.read(lesson, 4)
    assert shape_problems(notebook, True) + cell_problems(notebook) == []
    assert excess(measure(lesson)).keys() <= {"silent_cells"}  # it was not executed
    (said,) = said_minutes(notebook)
    assert abs(said - measure(lesson).minutes) <= 3


def test_its_exercises_are_right_and_their_blanks_are_not(lesson):
    pairs = test_exercises.exercises(lesson)
    assert len(pairs) == 2
    for exercise, check in pairs:
        test_exercises.attempt(lesson, exercise, check)
        with pytest.raises(NotYet):
            test_exercises.attempt(lesson, test_exercises.blanked(exercise, "pass"), check)


def test_its_network_is_exported_and_gives_logits(root, lesson):
    modules = export_lessons.build(root)
    assert list(modules) == ["segcourse/models/enet.py"]
    namespace = {}
    exec(modules["segcourse/models/enet.py"], namespace)
    assert namespace["enet"](classes=3, width=1 / 16).output_shape == (None, None, None, 3)


def test_its_study_and_its_test_can_be_read(root, monkeypatch):
    path = root / "segcourse/studies/enet.py"
    path.write_text(path.read_text().replace("models.enet import enet", "models import unet as enet"))
    spec = importlib.util.spec_from_file_location("enet_study", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.STUDY, Study) and module.enet is unet
    assert ast.parse((root / "tests/test_enet.py").read_text())


def test_nothing_is_overwritten_and_an_unknown_number_is_told(root):
    before = (root / "tests/test_enet.py").read_bytes()
    (root / "notebooks/08_enet.ipynb").rename(root / "08_enet.ipynb")
    with pytest.raises(SystemExit, match="segcourse/studies/enet.py, tests/test_enet.py: already there"):
        new_lesson.write("08", root)
    assert (root / "tests/test_enet.py").read_bytes() == before
    assert not (root / "notebooks/08_enet.ipynb").exists()
    with pytest.raises(SystemExit, match="'99'.*Planned: .*08"):
        new_lesson.write("99", root)


def test_what_is_left_to_do_is_printed(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(new_lesson, "write", lambda number: [new_lesson.ROOT / "tests/test_enet.py"])
    monkeypatch.setattr("sys.argv", ["new_lesson.py", "08"])
    new_lesson.main()
    printed = capsys.readouterr().out
    assert "wrote tests/test_enet.py" in printed and "make lesson L=08" in printed
    assert '"enet": enet,' in printed and 'Case("enet",' in printed
