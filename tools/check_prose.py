"""Find ragged prose in Python code: docstrings, comments and messages that a re-wrapping left behind.

Refused are

- a line of prose over 110 columns;
- a stray short line: inside a paragraph, under 60 % of its longest line, although the next word would have
  fitted there; a line that is a sentence of its own may be short;
- an item of a list whose further lines are indented in different ways;
- a docstring's summary that runs over to a second line by a few words (under 30 % of the first line).

The last line of a paragraph, code, tables and headings are left alone.

    python tools/check_prose.py             check the hand-written files and the code cells of the lessons
    python tools/check_prose.py FILE ...    check these
"""

import argparse
import ast
import io
import json
import re
import sys
import tokenize
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("segcourse", "tests", "tools", "benchmarks")
LINE_LENGTH = 110
SHORT = 0.6  # of the paragraph's longest line
RUN_OVER = 0.3  # of the summary's first line

SECTION = re.compile(r"(Args|Attributes|Examples?|Notes?|Raises|Returns|Yields):")
NAME = r"\*{0,2}`{0,2}[\w.]+`{0,2}"
BULLET = re.compile(r"[-*+] |\d+[.)] ")
ITEM = re.compile(rf"{BULLET.pattern}|{NAME}(, {NAME})*( \([^)]*\))?: ")
VERBATIM = re.compile(r">>> |```|\.\.\.? |\||[-=~]{3,}$|.*\S {3,}\S|.*::$")
QUOTE = re.compile(r"[rbfu]{0,2}(\"\"\"|'''|\"|')", re.IGNORECASE)
DIRECTIVE = re.compile(r"#(\||!|\s*(noqa|type:|fmt:|ruff:|---))")
SENTENCE_END = re.compile(r".*[.!?]['\")]?\s*$")
GENERATED = re.compile(r'"""[^\n]*generated from notebooks/', re.IGNORECASE)
ITEM_END = re.compile(r".*[].:;,!?)`]$")


class Line(NamedTuple):
    """One line of prose: its number and text, the column it is indented to, and the column where it ends."""

    row: int
    text: str
    indent: int
    end: int


def problems(source):
    """What is wrong with the prose of Python `source`: (line number, message) pairs, one a line at most."""
    rows, nodes = source.split("\n"), list(ast.walk(ast.parse(source)))
    docstrings = list(_docstrings(nodes, rows))
    found = [problem for block in (*docstrings, *_comments(source)) for problem in _ragged(block, rows)]
    found += [problem for block in docstrings for problem in _run_over(block)]
    found += [problem for pieces in _messages(nodes, rows) for problem in _broken(pieces)]
    return sorted(dict(found).items())


def _docstrings(nodes, rows):
    """The lines of every docstring, without its quotes."""
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and _is_text(first.value):
                yield list(_docstring_lines(first.value, rows))


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _docstring_lines(node, rows):
    opening = QUOTE.match(rows[node.lineno - 1], _column(rows[node.lineno - 1], node.col_offset))
    for row in range(node.lineno, node.end_lineno + 1):
        text = rows[row - 1]
        if row == node.end_lineno:
            text = text[: _column(text, node.end_col_offset)].removesuffix(opening[1])
        end = len(text.rstrip())
        if row == node.lineno:
            yield Line(row, text[opening.end() :].strip(), opening.start(), end)
        else:
            yield Line(row, text.strip(), len(text) - len(text.lstrip()), end)


def _column(row, offset):
    """The column in characters of an offset in bytes, which is what `ast` counts."""
    return len(row.encode()[:offset].decode())


def _comments(source):
    """The lines of every comment; comments on consecutive lines of their own are one block."""
    block = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or DIRECTIVE.match(token.string):
            continue
        (row, column), text = token.start, token.string.lstrip("#")
        line = Line(row, text.strip(), column + len(text) - len(text.lstrip()), token.end[1])
        alone = not token.line[:column].strip()
        if block and not (alone and block[-1].row == row - 1):
            yield block
            block = []
        if alone:
            block.append(line)
        else:
            yield [line]
    if block:
        yield block


def _messages(nodes, rows):
    """The pieces of every text that is written as adjacent literals, one a line."""
    inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        is_text = (_is_text(node) and id(node) not in inner) or isinstance(node, ast.JoinedStr)
        if is_text and node.end_lineno > node.lineno:
            pieces = [_piece(row, rows[row - 1], node) for row in range(node.lineno, node.end_lineno + 1)]
            if all(pieces):
                yield pieces


def _piece(row, text, node):
    """The literal in row `row` of a text, or None if the text is not made of one literal a line."""
    start = _column(text, node.col_offset) if row == node.lineno else len(text) - len(text.lstrip())
    quote = QUOTE.match(text, start)
    if not quote or len(quote[1]) == 3:
        return None
    body = text[: _column(text, node.end_col_offset)] if row == node.end_lineno else text.rstrip()
    return Line(row, body[quote.end() :].removesuffix(quote[1]), start, len(body))


def _ragged(block, rows):
    for line in block:
        width, is_address = len(rows[line.row - 1]), "://" in line.text.rsplit(" ", 1)[-1]
        if width > LINE_LENGTH and not is_address:
            yield line.row, f"prose of {width} columns, {LINE_LENGTH} are allowed"
    for paragraph in _paragraphs(block):
        for line in _stray(paragraph):
            yield line.row, f"a stray short line inside a paragraph: {line.text!r}"
        for line in paragraph[2:]:
            if line.indent != paragraph[1].indent:
                yield line.row, f"indented unlike the lines above it: {line.text!r}"


def _run_over(block):
    summary = next(filter(None, _paragraphs(block)), [])
    if len(summary) == 2 and len(summary[1].text) < RUN_OVER * len(summary[0].text):
        yield summary[1].row, f"the summary runs over by {summary[1].text!r}: shorten it to one line"


def _broken(pieces):
    for line in _stray(pieces):
        if not line.text.endswith((r"\n", ";")):  # a program, one statement a line
            yield line.row, f"a message is broken after the short piece {line.text!r}"


def _paragraphs(block):
    """The lines of `block` that one would fill together; an item of a list is a paragraph of its own."""
    paragraph, section, fenced = [], False, False
    for line in block:
        heading = SECTION.fullmatch(line.text)
        in_list = section or (paragraph and ITEM.match(paragraph[0].text))
        code = fenced or VERBATIM.match(line.text) or (line.indent > block[0].indent and not in_list)
        fenced ^= line.text.startswith("```")
        if not line.text or heading or code:
            yield paragraph
            paragraph, section = [], bool(heading or section and line.text)
        elif _begins_item(line, paragraph) or (paragraph and line.indent < paragraph[0].indent):
            yield paragraph
            paragraph = [line]
        else:
            paragraph.append(line)
    yield paragraph


def _begins_item(line, paragraph):
    """Whether a line names an item, as `size: ` does, and is not the middle of a sentence with a colon."""
    last = paragraph[-1] if paragraph else None
    done = not last or last.indent > line.indent or ITEM_END.match(last.text) or ITEM.match(last.text)
    return bool(BULLET.match(line.text) or (done and ITEM.match(line.text)))


def _stray(paragraph):
    """Lines that end early although the next word would have fitted, and are no sentence of their own."""
    longest = max((min(len(line.text), LINE_LENGTH - line.indent) for line in paragraph), default=0)
    edge = min(max((line.end for line in paragraph), default=0), LINE_LENGTH)
    begins_sentence = True
    for line, following in pairwise(paragraph):
        word, ends_sentence = following.text.split(" ", 1)[0], bool(SENTENCE_END.match(line.text))
        fits = line.end + 1 + len(word) <= edge and "://" not in word
        may_be_short = begins_sentence and ends_sentence or line.text.endswith(":")
        if len(line.text) < SHORT * longest and fits and not may_be_short:
            yield line
        begins_sentence = ends_sentence


def without_magics(source):
    """A notebook cell as plain Python: each line that begins with % or ! becomes `pass`."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)


def check(root=ROOT):
    """What is wrong in the hand-written files and the lessons' cells under `root`, a line each."""
    found = []
    for path in (path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))):
        source = path.read_text(encoding="utf-8")
        if not GENERATED.match(source):
            found += _printable(source, path.relative_to(root))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                source = without_magics("".join(cell["source"]))
                found += _printable(source, f"{path.relative_to(root)}, cell {number}")
    return found


def _printable(source, where):
    return [f"{where}:{row}: {message}" for row, message in problems(source)]


def main():
    """Command line entry: print what is wrong, exit 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="Python files; all of the course by default")
    files = parser.parse_args().files
    lines = [line for path in files for line in _printable(path.read_text(encoding="utf-8"), path)]
    lines = lines if files else check()
    print("\n".join(lines) or "No ragged prose.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
