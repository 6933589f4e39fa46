"""Write the taught modules of `segcourse` from the lessons, or check that they agree.

A lesson cell whose first line is `#| export models.fcn` goes to `segcourse/models/fcn.py`. Imports are
collected from the whole notebook, so a module states exactly what it uses; a name that nothing provides is
an error, and so is ragged prose (tools/check_prose.py).

    python tools/export_lessons.py            write the modules
    python tools/export_lessons.py --check    exit 1 and show a diff when a module and its lesson differ
"""

import argparse
import ast
import builtins
import difflib
import importlib.util
import json
import os
import re
import subprocess
import symtable
import sys
from dataclasses import dataclass, field
from pathlib import Path

from check_prose import problems, without_magics

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "segcourse"
LINE_LENGTH = 110
DIFF_LINES = 30
MARK = re.compile(r"#\|\s*export\s+(\S+)\s*$")
MODULE_NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*")
GENERATED = re.compile(r'"""[^\n]*generated from (notebooks/\S+?\.ipynb)', re.IGNORECASE)
ALWAYS_DEFINED = set(dir(builtins)) | {"__name__", "__file__"}
CONSTANT = re.compile(r"_{0,2}[A-Z][A-Z0-9_]*")
RUFF = ["--isolated", f"--config=line-length={LINE_LENGTH}", "--config=target-version='py311'"]


class ExportError(ValueError):
    """A lesson cannot be exported; the message names the lesson, the cell and the fix."""


@dataclass
class Cell:
    """One exported cell: its place, its text without imports, and the names it defines and needs."""

    where: str
    body: str
    defines: list[str]
    needs: set[str]


@dataclass
class Lesson:
    """What one notebook gives: exported cells by module, imports by name, and who defines other names."""

    path: str
    title: str
    modules: dict[str, list[Cell]] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)
    unexported: dict[str, str] = field(default_factory=dict)


def read_lesson(path, root):
    """Read one notebook into a `Lesson`; raises `ExportError` when an exported cell breaks a rule."""
    name = path.relative_to(root).as_posix()
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lesson = Lesson(name, _title(cells, path.stem))
    for index, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        source, where = "".join(cell["source"]), f"{name}, cell {index}"
        target = MARK.match(source.split("\n", 1)[0])
        tree = _parse(source, where, exported=bool(target))
        _collect_imports(tree, lesson.imports)
        if target:
            _check_prose(source, where)
            module = _module_name(target[1], where)
            lesson.modules.setdefault(module, []).append(_exported_cell(source, tree, where))
        else:
            lesson.unexported.update(dict.fromkeys(_defined_names(tree), where))
    return lesson


def _title(cells, fallback):
    for cell in cells:
        heading = re.search(r"^# (.+)$", "".join(cell["source"]), re.MULTILINE)
        if cell["cell_type"] == "markdown" and heading:
            return re.sub(r"[\\\"`*]", "", heading[1]).strip().rstrip(".")
    return fallback


def _parse(source, where, exported):
    try:
        return ast.parse(source)
    except SyntaxError as error:
        if exported:
            raise ExportError(f"{where}: line {error.lineno} is not plain Python: {error.msg}.") from None
    # Magics and shell lines are allowed outside exported cells; the rest of such a cell still counts.
    try:
        return ast.parse(without_magics(source))
    except SyntaxError:
        return ast.parse("")


def _module_name(name, where):
    if not MODULE_NAME.fullmatch(name) or name.split(".")[0] == PACKAGE:
        raise ExportError(f"{where}: cannot export to {name!r}. Name a module below {PACKAGE}: `models.fcn`.")
    return name


def _check_prose(source, where):
    found = [f"{where}, line {row}: {message}." for row, message in problems(source)]
    if found:
        raise ExportError("\n".join([*found, "Wrap such lines again, none over 110 columns."]))


def _collect_imports(tree, imports):
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            statement = ast.unparse(_single_import(node, alias))
            imports.setdefault(bound, set()).add(statement)


def _single_import(node, alias):
    if isinstance(node, ast.Import):
        return ast.Import([alias])
    return ast.ImportFrom(node.module, [alias], node.level)


def _exported_cell(source, tree, where):
    lines = source.split("\n")
    for node in tree.body:
        _check_statement(node, where)
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [None] * (node.end_lineno - node.lineno + 1)
    body = "\n".join(line for line in lines if line is not None and not line.startswith("#|"))
    return Cell(where, body.strip("\n"), _defined_names(tree), _global_names(source, where))


def _check_statement(node, where):
    if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
        raise ExportError(f"{where}: `from {node.module} import *` hides what is used. Name the imports.")
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        if not node.name.startswith("_") and not ast.get_docstring(node):
            raise ExportError(f"{where}: public `{node.name}` has no docstring. Write one.")
    elif not isinstance(node, ast.Import | ast.ImportFrom) and not _is_constant(node):
        raise ExportError(
            f"{where}: `{ast.unparse(node).splitlines()[0][:60]}` is not a definition. An exported cell "
            "holds imports, functions, classes and UPPER_CASE constants only: move this line to its own cell."
        )
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and getattr(child.func, "id", "") == "print":
            raise ExportError(f"{where}: taught code does not print. Move the print to a cell of its own.")


def _is_constant(node):
    return isinstance(node, ast.Assign | ast.AnnAssign) and all(map(CONSTANT.fullmatch, _targets(node)))


def _targets(node):
    """The names that an assignment binds; "" stands for a target that is not a plain name."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    plain = [item for target in targets for item in getattr(target, "elts", [target])]
    return [getattr(target, "id", "") for target in plain]


def _defined_names(tree):
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names += filter(None, _targets(node))
    return names


def _global_names(source, where):
    """The names that the cell takes from its module, whatever scope uses them."""
    names, tables = set(), [symtable.symtable(source, where, "exec")]
    while tables:
        table = tables.pop()
        top = table.get_type() == "module"
        names |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global())}
        tables += table.get_children()
    return names


def module_source(lesson, module):
    """The text of one generated module: docstring, the imports it needs, the cells in the lesson's order."""
    cells = lesson.modules[module]
    home = {name: owner for owner, group in lesson.modules.items() for cell in group for name in cell.defines}
    imports = set()
    for cell in cells:
        for name in sorted(cell.needs):
            if home.get(name) != module:
                imports |= _provide(name, cell.where, lesson, home)
    parts = [_docstring(lesson), "\n".join(sorted(imports)), *(cell.body for cell in cells)]
    return _format("\n\n\n".join(filter(None, parts)) + "\n", cells[0].where)


def _provide(name, where, lesson, home):
    """The import statements that define `name`; empty for a builtin."""
    if name in home:
        return {f"from {PACKAGE}.{home[name]} import {name}"}
    statements = lesson.imports.get(name, set())
    if len(statements) > 1 and not all(s.startswith("import ") and " as " not in s for s in statements):
        both = "; ".join(sorted(statements))
        raise ExportError(f"{where}: `{name}` is imported in two ways ({both}). Keep one.")
    if statements or name in ALWAYS_DEFINED:
        return statements
    if name in lesson.unexported:
        fix = f"It is defined in {lesson.unexported[name]}, which is not exported: export that cell too."
    else:
        fix = "Import it in a cell of this lesson, or export the cell that defines it."
    raise ExportError(f"{where}: nothing provides the name `{name}`. {fix}")


def _docstring(lesson):
    line = f'"""{lesson.title}: generated from {lesson.path}. Edit the lesson, then run make export."""'
    if len(line) <= LINE_LENGTH:
        return line
    return f'"""Generated from {lesson.path}. Edit the lesson, then run make export.\n\n{lesson.title}.\n"""'


def _format(source, where):
    first_party = f'--config=lint.isort.known-first-party=["{PACKAGE}"]'
    for step in (["check", "--select=I", "--fix-only", "--quiet", first_party], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", step[0], *RUFF, *step[1:], "--stdin-filename=module.py", "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            raise ExportError(f"{where}: ruff cannot format this module: {done.stderr.strip()}")
        source = done.stdout
    return source


def build(root=ROOT):
    """Every generated module of the lessons under `root`: a dict of path relative to `root` -> text."""
    owner, modules = {}, {}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        lesson = read_lesson(path, root)
        _check_names_are_unique(lesson)
        for module in lesson.modules:
            if module in owner:
                raise ExportError(
                    f"{lesson.path} and {owner[module]} both export {PACKAGE}.{module}. A module belongs to "
                    "one lesson: import the first lesson's code, or export to another module."
                )
            owner[module] = lesson.path
            target = f"{PACKAGE}/{module.replace('.', '/')}.py"
            _check_target(root, target, lesson.modules[module][0].where)
            modules[target] = module_source(lesson, module)
    return modules


def _check_names_are_unique(lesson):
    """In the notebook the later definition replaces the earlier one, in the modules it would not."""
    seen = {}
    for cell in (cell for cells in lesson.modules.values() for cell in cells):
        for name in cell.defines:
            if name in seen:
                raise ExportError(f"{cell.where}: `{name}` is already exported by {seen[name]}. Rename one.")
            seen[name] = cell.where


def _check_target(root, target, where):
    path = root / target
    if path.exists() and not is_generated(path):
        raise ExportError(f"{where}: {target} is hand-written. Export to another module.")
    if not (path.parent / "__init__.py").exists():
        raise ExportError(f"{where}: {path.parent.relative_to(root)}/__init__.py is missing. Write it first.")


def is_generated(path):
    """Whether a module is taught, that is, written by this exporter: its first line says so."""
    return bool(GENERATED.match(path.read_text(encoding="utf-8")))


def orphans(root, modules):
    """Generated modules that no lesson exports any more, as paths relative to `root`."""
    found = (path for path in sorted((root / PACKAGE).rglob("*.py")) if is_generated(path))
    return [name for name in (path.relative_to(root).as_posix() for path in found) if name not in modules]


def check(root=ROOT):
    """What differs between the modules and their lessons, one printable text each; empty if nothing."""
    modules = build(root)
    gone = "no lesson exports this module any more. Run make export."
    problems = [f"{name}: {gone}" for name in orphans(root, modules)]
    for name, wanted in modules.items():
        path = root / name
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        if found != wanted:
            before, after = found.splitlines(), wanted.splitlines()
            lines = list(difflib.unified_diff(before, after, name, "the lesson", n=1, lineterm=""))
            more = [f"... and {len(lines) - DIFF_LINES} more lines"] if len(lines) > DIFF_LINES else []
            problems.append("\n".join([f"{name} differs from its lesson:", *lines[:DIFF_LINES], *more]))
    return problems


def export(root=ROOT):
    """Write the modules that differ and remove those without a lesson; return one line per change."""
    modules, changes = build(root), []
    for name in orphans(root, modules):
        (root / name).unlink()
        changes.append(f"removed {name}: no lesson exports it any more")
    for name, text in modules.items():
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            changes.append(f"wrote {name}")
    return changes


def _use_interpreter_with_ruff():
    """Continue under the project's own environment when this Python has no ruff."""
    if importlib.util.find_spec("ruff"):
        return
    python = ROOT / ".venv/bin/python"
    if not python.exists() or Path(sys.prefix) == ROOT / ".venv":
        sys.exit("tools/export_lessons.py needs ruff. Run `make export` (it makes the environment first).")
    os.execv(python, [str(python), *sys.argv])


def main():
    """Command line entry: export, or with --check only compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a module differs")
    arguments = parser.parse_args()
    _use_interpreter_with_ruff()
    try:
        lines = check() if arguments.check else export()
    except ExportError as error:
        sys.exit(f"export: {error}")
    print("\n".join(lines) or "The modules agree with their lessons.")
    return 1 if lines and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
