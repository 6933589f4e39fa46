"""Where a `.tflite` file is read from and written to, and whether it is one."""

import os
import tempfile
from pathlib import Path

IDENTIFIER = b"TFL3"
ENDING = ".tflite"


def readable(path: str | os.PathLike) -> Path:
    """`path`, with `~` as the home folder, if a whole TFLite file is there.

    Raises:
        FileNotFoundError: there is no such file.
        IsADirectoryError: it is a folder.
        ValueError: it is another kind of file, or damaged.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the {ENDING} file in it: {_listed(path)}.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. Write one with convert(model, path, input_size).")
    _check_content(path)
    return path


def _listed(folder):
    return ", ".join(sorted(file.name for file in folder.glob(f"*{ENDING}"))[:5]) or "it has none"


def _check_content(path):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with path.open("rb") as file:
        start = file.read(8)
    if start[4:] != IDENTIFIER:
        raise ValueError(
            f"{path} is not a TFLite file: bytes 4-7 are {start[4:]!r}, not {IDENTIFIER!r}. Write one with "
            "convert()."
        )
    try:
        # Verifies every offset in the file; the plain resolver does no more than that.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        Interpreter(str(path), experimental_op_resolver_type=plain)
    except ValueError as error:
        if "Flatbuffer" not in str(error):
            raise
        raise ValueError(
            f"{path} is damaged or cut short ({path.stat().st_size:,} bytes are there). Copy it again, or "
            "write it again with convert()."
        ) from error


def writable(path: str | os.PathLike) -> Path:
    """`path`, with `~` as the home folder, if a TFLite file can go there; its folder is made.

    Raises:
        IsADirectoryError, NotADirectoryError: it is a folder, or what should be its folder is a file.
        ValueError: the name does not end in `.tflite`, by which Android and iOS know such a file.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give a file in it: {path / 'model'}{ENDING}.")
    if path.suffix != ENDING:
        raise ValueError(f"path is {path}; the name must end in {ENDING}: {path.with_suffix(ENDING)}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{path.parent} is no folder: a file of that name is there.") from error
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content`, so that the file appears complete or not at all, and an old one stays until then."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
