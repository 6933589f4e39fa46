"""What can be wrong with data. Every message says which file and what to do about it."""

from collections.abc import Sequence


class DataError(ValueError):
    """Data that cannot be used, or that is not there."""


class ImageError(DataError):
    """An image that cannot be read, or does not fit the others."""


class MaskError(DataError):
    """A label mask that cannot be read, does not fit its image, or holds values that are no class ids."""


class ChecksumError(DataError):
    """A file whose content is not that of the original."""


class ArchiveError(DataError):
    """An archive that is damaged, or has a member that must not be written."""


class DownloadError(DataError):
    """A download that failed or was cut off."""


_NAMED = 10


def together(errors: Sequence[DataError]) -> DataError:
    """One error for several files: the first in full, then the names of the others.

    Args:
        errors: at least one; each message begins with the path of its file and a colon.

    Returns:
        the error itself if it is one; else one of the kind of the first.
    """
    first = errors[0]
    if len(errors) == 1:
        return first
    names = [str(error).partition(": ")[0].replace("\\", "/").rpartition("/")[2] for error in errors[1:]]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return type(first)(
        f"{len(errors)} files cannot be used. {first} The others: {', '.join(names[:_NAMED])}{more}; "
        "`segcourse data check FOLDER` says what is wrong with each."
    )
