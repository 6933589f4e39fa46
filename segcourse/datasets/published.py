"""What the downloaded data sets share: where they lie, the digests of their files, and how they get here."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from segcourse.datasets import download as transfer
from segcourse.datasets import files
from segcourse.datasets.errors import ChecksumError, DataError
from segcourse.paths import cache_folder


@dataclass(frozen=True)
class Published:
    """A data set that somebody else publishes in a GitHub repository.

    Args:
        name: of the data set here, of its folder, and of its list of digests.
        title: its name for people.
        repository: owner and name on GitHub.
        commit: the version of the repository that is fetched.
    """

    name: str
    title: str
    repository: str
    commit: str

    @property
    def url(self) -> str:
        return f"https://codeload.github.com/{self.repository}/zip/{self.commit}"

    @property
    def get(self) -> str:
        """The fix for an error message."""
        return f"Fetch it with `segcourse data get {self.name}`."

    @property
    def places(self) -> list[Path]:
        """Where the set is looked for: in the cache, and in ``../shared/data`` beside the repository."""
        repository = Path(__file__).resolve().parents[2]
        return [cache_folder() / self.name, repository.parent / "shared" / "data" / self.name]

    def find(self, *parts: str) -> Path | None:
        """The first of the places in which all these folders are; None if there is none."""
        return next((at for at in self.places if all((at / part).is_dir() for part in parts)), None)

    def folder(self, *parts: str) -> Path:
        """The first of the places in which all these folders are.

        Raises:
            DataError: there is none.
        """
        found = self.find(*parts)
        if found is None:
            looked = ", ".join(map(str, self.places))
            raise DataError(
                f"{self.title} is not on this machine (looked for {' and '.join(parts)} in {looked}). "
                f"{self.get}"
            )
        return found

    def digests(self) -> dict[str, str]:
        """sha256 of the original files, by path in the data set."""
        return _digests(self.name)

    def read(self, root: Path, member: str, digests: dict[str, str]) -> bytes:
        """Content of a file of the set, equal to the original where ``digests`` knows it.

        Raises:
            DataError: it is missing; `ChecksumError`: it is not the original.
        """
        path = root / member
        if not path.is_file():
            raise DataError(f"{path}: missing from {self.title}. {self.get}")
        content = files.read_bytes(path)
        expected = digests.get(member)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise ChecksumError(f"{path}: not the original file (its sha256 differs). {self.get}")
        return content

    def install(
        self,
        url: str,
        select: Callable[[str], str | None],
        verify: Callable[[Path], None],
        progress: bool = True,
    ) -> Path:
        """Fetch the set into the cache folder unless a complete copy is there, and return its folder.

        A new copy takes its place only after ``verify(folder)``, which raises `DataError`, has passed.
        ``select`` says where a member of the archive goes, or None.
        """
        target = cache_folder() / self.name
        try:
            verify(target)
            return target
        except DataError:  # absent or damaged
            pass
        file = cache_folder() / "downloads" / f"{self.name}-{self.commit[:7]}.zip"
        archive = transfer.fetch(url, file, progress=progress)
        fresh = target.with_name(f"{self.name}.unchecked")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            transfer.extract(archive, fresh, select=select)
            verify(fresh)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            archive.unlink(missing_ok=True)
        return target


@cache
def _digests(name):
    text = resources.files("segcourse.datasets").joinpath(f"{name}.sha256").read_text(encoding="ascii")
    pairs = (line.split(maxsplit=1) for line in text.splitlines())
    return {path: digest for digest, path in pairs}
