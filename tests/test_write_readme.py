"""README's tables say what the lessons and the stored comparison say."""

import json

import nbformat
import pytest
import records
import write_readme

HEADER = (
    "# Lesson 05 · ParseNet: context\n\n| | |\n|---|---|\n| **First published** | June 2015 (arXiv 1506) |"
)


@pytest.fixture
def root(tmp_path):
    """A project with one lesson and a README without a table."""
    cells = [nbformat.v4.new_markdown_cell(HEADER), nbformat.v4.new_code_cell('shown = studies.load("fcn")')]
    notebook = nbformat.v4.new_notebook(cells=cells)
    records.store(notebook, 71.2, "2 cores of a machine")
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "05_parsenet.ipynb")
    parts = {
        **{f"unet-{seed}": trained(0.25 + 0.01 * seed, 0.003) for seed in (1, 2, 3)},
        "fcn8s-1": trained(0.5, 0.001),
        "segnet-costs": {},  # measured before anything was trained
        "unet-costs": {"parameters": 1234567, "multiply_adds": 98e7, "tflite_seconds": {"1": 0.3, "2": 0.02}},
    }
    (tmp_path / "data" / "results").mkdir(parents=True)
    (tmp_path / "data" / "results" / "comparison.json").write_text(json.dumps({"results": parts}))
    marks = f"<!-- lessons -->\n<!-- end -->\nMore\n<!-- {write_readme.COMPARISON} -->\n<!-- end -->\n"
    (tmp_path / "README.md").write_text(f"# Title\n{marks}Last <!-- end -->\n")
    return tmp_path


def trained(score, rate):
    """A stored training with these scores."""
    return {"learning_rate": rate, "test": {"miou": score, "boundary_f1": score / 2}}


def call(monkeypatch, root, *arguments):
    monkeypatch.setattr("sys.argv", ["write_readme.py", *arguments])
    return write_readme.main(root)


def test_the_table_is_written_and_checked(root, monkeypatch, capsys):
    assert call(monkeypatch, root, "--check") == 1
    assert "make readme" in capsys.readouterr().out
    assert call(monkeypatch, root) == 0
    text = (root / "README.md").read_text()
    row = "| [05](notebooks/05_parsenet.ipynb) | ParseNet: context | 2015 | there | 1 min "
    assert f"{row}| 71 s on 2 cores of a machine | `fcn` |\n" in text
    assert "| 07 | DeepLab v2 | 2016 | coming |" in text and "| 05 |" not in text
    assert text.startswith("# Title\n<!-- lessons -->\n| lesson |") and text.endswith("\nLast <!-- end -->\n")
    assert call(monkeypatch, root, "--check") == 0


def test_a_lesson_in_two_sittings_has_two_numbers(root, monkeypatch):
    path = root / "notebooks" / "05_parsenet.ipynb"
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("# Second sitting\n" + "word " * 357))
    nbformat.write(notebook, path)
    call(monkeypatch, root)
    assert "| there | 1 + 2 min |" in (root / "README.md").read_text()


def test_the_comparison_is_written_best_first(root, monkeypatch):
    call(monkeypatch, root)
    rows = (root / "README.md").read_text().split(write_readme.COMPARISON)[1].splitlines()[3:5]
    assert rows == [
        "| `fcn8s` | 50.0 | 25.0 | 0.001 |  |  |  |",
        "| `unet` | 27.0 ± 1.0 | 13.5 ± 0.5 | 0.003 | 1.23 M | 0.98 G | 20.0 ms |",
    ]


def test_a_lesson_that_cannot_be_listed_is_named(root, monkeypatch):
    path = root / "notebooks" / "05_parsenet.ipynb"
    path.write_text(path.read_text().replace("Lesson 05 · ", ""))
    with pytest.raises(SystemExit, match="05_parsenet.ipynb: the first cell must begin"):
        call(monkeypatch, root)


def test_a_readme_without_a_place_for_the_table_is_left_alone(root, monkeypatch):
    (root / "README.md").write_text("# Title")
    with pytest.raises(SystemExit, match="no place for the table"):
        call(monkeypatch, root)
