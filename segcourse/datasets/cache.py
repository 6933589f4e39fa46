"""The folder in which data sets that were downloaded or rendered are kept."""

import os
from pathlib import Path

import platformdirs


def cache_folder():
    """The data cache as a `pathlib.Path`; it need not exist yet.

    The environment variable `SEGCOURSE_DATA` names it; without that it is the platform's own cache folder.
    """
    chosen = os.environ.get("SEGCOURSE_DATA")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("segcourse"))
