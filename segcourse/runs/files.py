"""Files of a run: written whole or not at all, also where the disk is full."""

import errno
import json
import os
from pathlib import Path
from typing import Any

from segcourse.jsonable import jsonable
from segcourse.runs.errors import BadRequest

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(OSError):
    """There is no room for a file; what was there before is as it was."""


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON; arrays become lists, NaN becomes null. The folder is made.

    Raises:
        DiskFull: there is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(jsonable(content), indent=1) + "\n"
    partial = path.with_name("partial." + path.name)
    reserve(path, len(text))
    partial.write_text(text)
    os.replace(partial, path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file that a run wrote.

    Raises:
        BadRequest: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}, not an object")
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"{path} is damaged ({error}). Put the original back, or start anew with --restart "
            "(in Python: resume=False)."
        ) from error
    return content


def reserve(path: Path, size: int) -> None:
    """Make sure that `size` bytes can be written beside `path`.

    Libraries that write weights may crash on a full disk, and leave half a file; this fails before them.

    Raises:
        DiskFull: there is no room.
    """
    trial = path.with_name(f"partial.{path.name}.room")
    try:
        with open(trial, "wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, max(size, 1))
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise DiskFull(
            f"No room for {path} ({size / 1e6:.1f} MB): {error.strerror}. Free some space and repeat the "
            "command; what is there already was left as it is."
        ) from error
    finally:
        trial.unlink(missing_ok=True)
