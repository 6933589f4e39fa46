"""Which source files of the package a piece of code depends on, and a digest of what they do.

`closure` follows the imports, `digest` sums up the files. Stored results and the records of the lessons are
tied to both: as long as a digest is the same, the code behind it is the same.
"""

import ast
import functools
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]

# Studies are found by name, to be listed and run: what one measures does not depend on what the others are.
_NOT_FOLLOWED = ("segcourse.studies.",)


def closure(files: Iterable[str], package: Path = PACKAGE) -> list[str]:
    """The files themselves and all that they import from the package, directly or through others.

    Imports inside functions count. A name that a package only passes on leads to the module that defines it,
    and not to the other modules of that package: `from segcourse.losses import MaskedCrossEntropy` does not
    depend on the other losses. The `__init__` of a package counts where something of its own is used.
    `importlib.import_module(f"segcourse.datasets.{name}")` leads to every module of that form, studies
    excepted.

    Args:
        files: paths relative to `package`, as in "models/fcn.py".
        package: folder of the package.

    Returns:
        Sorted list of paths relative to `package`, with "/" on every platform.

    Raises:
        ValueError: an `import_module` whose argument says nothing of what it imports.
        FileNotFoundError: one of `files` is not there.
    """
    found, waiting = set(), set(files)
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= _imports_of_file(package, file) - found
    return sorted(found)


def imports(source: str, package: Path = PACKAGE) -> set[str]:
    """The files of the package that a text of Python imports directly: what to give to `closure`."""
    return _Imports(package, "the source", package.name, package.name).of(_read(source))


def digest(files: Iterable[str], package: Path = PACKAGE) -> str:
    """sha256 of what the named files do.

    Comments, docstrings, line breaks and the order of definitions do not count.
    """
    total = hashlib.sha256()
    for file in files:
        for line in _statements((package / file).read_text(encoding="utf-8")):
            total.update(f"{file}: {line}\n".encode())
    return total.hexdigest()


def digest_of(source: str) -> str:
    """sha256 of what a text of Python does; as in `digest`, but here the order of statements counts."""
    return hashlib.sha256(repr(_meaning(ast.parse(source).body)).encode()).hexdigest()


@functools.cache
def _statements(text):
    return sorted(repr(_meaning(node)) for node in ast.parse(text).body if not _is_text(node))


def _meaning(node):
    """A syntax tree as nested lists that are the same in every Python version."""
    if isinstance(node, list):
        return [_meaning(item) for item in node if not _is_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return [type(node).__name__, *((name, _meaning(value)) for name, value in fields)]


def _is_text(node):
    """Whether a statement is nothing but a string: a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@dataclass(frozen=True)
class _Source:
    """A text of Python: its imports, the attributes used of each name, and the names that stand alone too."""

    tree: ast.Module
    imports: list
    attributes: dict
    alone: set


@functools.cache
def _read(text):
    tree, imports, attributes, names, inside = ast.parse(text), [], defaultdict(set), Counter(), Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or _called(node) == "import_module":
            imports.append(node)
        elif isinstance(node, ast.Name):
            names[node.id] += 1
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes[node.value.id].add(node.attr)
            inside[node.value.id] += 1
    return _Source(tree, imports, attributes, set(names - inside))


def _read_file(package, file):
    return _read((package / file).read_text(encoding="utf-8"))


def _imports_of_file(package, file):
    module = _module_of(package, file)
    inside = module if file.endswith("__init__.py") else module.rpartition(".")[0]
    return _Imports(package, file, module, inside).of(_read_file(package, file))


def _module_of(package, file):
    parts = [package.name, *file.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _file_of(package, module):
    """The file of a module, relative to the package; None for what is not in it, and for the package itself.

    The package's own `__init__` has a version and tells Keras what to load: neither changes a result.
    """
    top, *parts = module.split(".")
    if top != package.name or not parts:
        return None
    names = ("/".join([*parts, "__init__.py"]), "/".join(parts) + ".py")
    return next((name for name in names if (package / name).is_file()), None)


@dataclass(frozen=True)
class _Imports:
    """What the code in one place imports: its file (for messages), its module, and what "." means there."""

    package: Path
    file: str
    module: str
    inside: str

    def of(self, source):
        found = set()
        for node in source.imports:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found |= self._module(alias.name, alias.asname, source)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found |= self._name(self._origin(node), alias, source)
            else:
                found |= self._found_by_name(node)
        return found

    def _origin(self, node):
        """The full name of the module in `from MODULE import ...`, relative ones too."""
        if not node.level:
            return node.module
        base = self.inside.split(".")
        return ".".join([*base[: len(base) - node.level + 1], *filter(None, [node.module])])

    def _name(self, module, alias, source):
        inner = f"{module}.{alias.name}"
        if _file_of(self.package, inner):
            return self._module(inner, alias.asname or alias.name, source)
        return self._definition(module, alias.name)

    def _module(self, module, name, source):
        """The files behind a module that the code calls `name`: of a package, only what is used of it."""
        file = _file_of(self.package, module)
        if file is None:
            return set()
        used = source.attributes.get(name, set())
        if not file.endswith("__init__.py") or not used or name in source.alone:
            return {file}
        return set().union(*(self._definition(module, attribute) for attribute in used))

    def _definition(self, module, name):
        """The file that defines a name of a module: its own, or where its package takes the name from."""
        file, inner = _file_of(self.package, module), _file_of(self.package, f"{module}.{name}")
        if inner or not file:
            return {inner} if inner else set()
        if file.endswith("__init__.py"):
            passed_on = _Imports(self.package, file, module, module)
            for node in _read_file(self.package, file).tree.body:
                for alias in node.names if isinstance(node, ast.ImportFrom) else []:
                    if name == (alias.asname or alias.name):
                        return passed_on._definition(passed_on._origin(node), alias.name) or {file}
        return {file}

    def _found_by_name(self, node):
        pattern = self._pattern(node.args[0]) if node.args else "*"
        if pattern.startswith((".", "*")):
            raise ValueError(
                f"{self.file}, line {node.lineno}: {ast.unparse(node)} says nothing of what it imports, so "
                "that no digest can tell when it changes. Begin the name with the package, as in "
                'f"segcourse.datasets.{name}".'
            )
        return set() if pattern.startswith(_NOT_FOLLOWED) else _matching(self.package, pattern)

    def _pattern(self, argument):
        """The argument of `import_module` with * for each part that only the run knows."""
        known = {"__name__": self.module, "__package__": self.inside}
        parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
        values = [getattr(part, "value", None) for part in parts]
        names = (known.get(getattr(value, "id", None), "*") for value in values)
        return "".join(v if isinstance(v, str) else name for v, name in zip(values, names, strict=True))


def _matching(package, pattern):
    """The files of all modules whose name fits a pattern in which * stands for one part of a name."""
    form = re.compile(re.escape(pattern).replace(r"\*", r"\w+"))
    files = (path.relative_to(package).as_posix() for path in package.rglob("*.py"))
    return {file for file in files if form.fullmatch(_module_of(package, file))}


def _called(node):
    """The last name of what a node calls, or None."""
    return isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) or None
