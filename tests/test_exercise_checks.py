"""segcourse.exercises: what a learner reads when an exercise is solved, wrong or empty; student versions."""

import nbclient
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from segcourse import exercises


def judge(work, hint="Look at void."):
    with pytest.raises(exercises.NotYet) as caught, exercises.check("00.1", hint=hint):
        work()
    return caught.value._render_traceback_()


def fail(error):
    def work():
        raise error

    return work


def test_success_is_said_in_one_line(capsys):
    with exercises.check("00.1", hint="never shown"):
        assert 1 + 1 == 2
    assert capsys.readouterr().out == "✓ Exercise 00.1: well done.\n"


def test_a_wrong_answer_shows_its_message_and_the_hint(capsys):
    assert judge(fail(AssertionError("the accuracy is 0.5, yours 0.4"))) == [
        "✗ Exercise 00.1: the accuracy is 0.5, yours 0.4",
        "  Hint: Look at void.",
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "first_line"),
    [
        (NotImplementedError("your code here"), "not written yet. Put your code in place of"),
        (ZeroDivisionError("division by zero"), "the code stopped with ZeroDivisionError: division by zero"),
        (KeyError(), "the code stopped with KeyError"),
        (AssertionError(), "not right yet."),
        (AssertionError("a\n\n b"), "a b"),
        (ValueError("x " * 5000), "the code stopped with ValueError: x x"),
    ],
)
def test_every_failure_is_two_short_lines(error, first_line):
    lines = judge(fail(error))
    assert len(lines) == 2
    assert lines[0].startswith(f"✗ Exercise 00.1: {first_line}")
    assert len(lines[0]) < 500


def test_without_a_hint_there_is_one_line_and_the_cause_is_kept():
    error = ZeroDivisionError("division by zero")
    assert len(judge(fail(error), hint="")) == 1
    with pytest.raises(AssertionError) as caught, exercises.check("1"):
        raise error
    assert caught.value.__cause__ is error


def test_an_interrupt_is_not_a_wrong_answer():
    with pytest.raises(KeyboardInterrupt), exercises.check("00.1"):
        raise KeyboardInterrupt


def test_jupyter_shows_only_the_friendly_lines():
    cells = [
        new_code_cell("from segcourse.exercises import check\n\ndef half(x):\n    return x / 0"),
        new_code_cell('with check("00.1", hint="Half is x / 2."):\n    assert half(4) == 2'),
        new_code_cell('with check("00.1", hint="Half is x / 2."):\n    assert 3 == 2, "half of 4 is 2"'),
    ]
    notebook = new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True).execute()
    (crashed,), (wrong,) = (cell.outputs for cell in notebook.cells[1:])
    assert crashed.ename == "NotYet"
    assert crashed.traceback == [
        "✗ Exercise 00.1: the code stopped in half, line 4 of its cell, "
        "with ZeroDivisionError: division by zero",
        "  Hint: Half is x / 2.",
    ]
    assert wrong.traceback[0] == "✗ Exercise 00.1: half of 4 is 2"


SOLVED = """def double(x):
    y = x
    ### BEGIN SOLUTION
    if x:
        y = 2 * x
    ### END SOLUTION
    return y

### BEGIN SOLUTION
z = 1
### END SOLUTION"""

BLANK = """def double(x):
    y = x
    raise NotImplementedError("your code here")
    return y

raise NotImplementedError("your code here")
"""


def test_blank_replaces_each_solution_at_its_indentation():
    assert exercises.blank(SOLVED) == BLANK.removesuffix("\n")
    assert exercises.blank(SOLVED + "\n") == BLANK
    assert exercises.blank(SOLVED, filler="...").count("...") == 2
    assert exercises.blank("x = 1\n\n# a\n") == "x = 1\n\n# a\n"
    with pytest.raises(NotImplementedError, match="your code here"):
        exec(exercises.blank(SOLVED), {})


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
    ],
)
def test_marks_come_in_pairs(source):
    with pytest.raises(ValueError, match="SOLUTION"):
        exercises.blank(source)


def test_the_student_version_hides_solutions_and_what_they_print():
    def cell(source):
        output = new_output("stream", name="stdout", text="12")
        return new_code_cell(source, outputs=[output], execution_count=3)

    lesson = new_notebook(
        cells=[
            new_markdown_cell("### BEGIN SOLUTION is only text here"),
            cell("print(12)"),
            cell(SOLVED),
            cell("from segcourse import exercises\nwith exercises.check('00.1'):\n    assert double(1) == 2"),
        ]
    )
    before = nbformat.writes(lesson)
    student = exercises.student_version(lesson)
    assert nbformat.writes(lesson) == before
    text, shown, solved, checked = student.cells
    assert text == lesson.cells[0]
    assert shown == lesson.cells[1]
    assert solved.source == BLANK.removesuffix("\n")
    assert (solved.outputs, solved.execution_count) == ([], None)
    assert checked.source == lesson.cells[3].source
    assert (checked.outputs, checked.execution_count) == ([], None)
