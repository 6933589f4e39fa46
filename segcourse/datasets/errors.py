"""What can be wrong with data. Every message says which file and what to do about it."""


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
