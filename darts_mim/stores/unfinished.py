"""A folder that is made part by part beside its place, and moved there once it is whole."""

import json
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

if sys.platform != "win32":
    from fcntl import LOCK_EX, flock

LOCK, ASKED = "lock", "asked.json"


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Finished parts have a note each, written after them; so one that is killed can go on after the last.

    >>> from tempfile import mkdtemp
    >>> place = Path(mkdtemp(), "numbers")
    >>> with Unfinished.at(place, "one to three") as numbers:
    ...     numbers.content.mkdir()
    ...     numbers.finish("first", {"sum": 6})
    >>> with Unfinished.at(place, "one to three") as numbers:
    ...     numbers.note("first"), numbers.note("second"), place.exists()
    ...     numbers.move()
    ({'sum': 6}, None, False)
    >>> place.exists(), len(list(place.parent.iterdir()))
    (True, 1)
    """

    place: Path
    folder: Path

    @classmethod
    @contextmanager
    def at(cls, place: Path, asked: str) -> Generator[Self]:
        """Begin, or go on with what was begun for the same; whoever comes meanwhile, waits.

        Args:
            place: Where it will be.
            asked: Fingerprint of all that it hangs on; what was begun for another is dropped.

        Raises:
            OSError: If nothing can be written there.
        """
        unfinished = cls(place=place, folder=place.parent / f".{place.name}.partial")
        with telling(place):
            lock = unfinished._locked()
        try:
            with telling(place):
                if unfinished._read(ASKED) != asked:
                    unfinished._empty()
                    unfinished._write(ASKED, asked)
            yield unfinished
        except BaseException:
            if unfinished.folder.exists() and not unfinished._has_notes():
                unfinished.drop()
            raise
        finally:
            if lock is not None:
                os.close(lock)

    @property
    def content(self) -> Path:
        """What will be at the place."""
        return self.folder / "content"

    def note(self, part: str) -> Any:
        """What was noted of a finished part; None if it is not."""
        return self._read(f"{part}.json")

    def finish(self, part: str, note: Any) -> None:
        """Say that a part is there, all of it."""
        self._write(f"{part}.json", note)

    def begin_anew(self) -> None:
        """Drop all parts."""
        asked = self._read(ASKED)
        self._empty()
        self._write(ASKED, asked)

    def move(self) -> None:
        """To the place; what was there until now is removed."""
        if self.place.is_dir():  # no folder can be moved onto another
            os.replace(self.place, self.folder / "before")
        os.replace(self.content, self.place)
        self.drop()

    def drop(self) -> None:
        """All of it."""
        self._empty()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _has_notes(self) -> bool:
        """Whether a part is finished, so that there is something to go on with."""
        return any(path.name != ASKED for path in self.folder.glob("*.json"))

    def _locked(self) -> int | None:
        """The folder, made if it is not there, for nobody else until it is closed or the process ends."""
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            if sys.platform == "win32":
                return None
            lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR)
            flock(lock, LOCK_EX)
            try:
                if os.path.samestat(os.fstat(lock), os.stat(self.folder / LOCK)):
                    return lock
            except FileNotFoundError:
                pass  # who had it has finished, and has removed the folder
            os.close(lock)

    def _empty(self) -> None:
        (self.folder / ASKED).unlink(missing_ok=True)  # first: from now on nobody goes on with the rest
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text())
        except FileNotFoundError:
            return None

    def _write(self, name: str, what: Any) -> None:
        beside = self.folder / f"{name}.new"
        beside.write_text(json.dumps(what))
        os.replace(beside, self.folder / name)


def local_path(path: str | Path, instead: str) -> Path:
    """A path that something can be moved to once it is whole.

    Args:
        path: As it came.
        instead: What to do where it is not local, for the error.

    Raises:
        ValueError: If it is not local.
    """
    if "://" in str(path):
        raise ValueError(
            f"path={str(path)!r} came; only a local path can be written whole or not at all. {instead}"
        )
    return Path(path)


@contextmanager
def telling(place: Path) -> Generator[None]:
    """Whatever goes wrong in writing says where, and what to do."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        raise OSError(
            error.errno,
            f"{place} could not be written: {said}. There is nothing there that reads as whole. Make room, "
            f"or choose a folder that can be written to; asked for the same again, it goes on with what is "
            f"kept beside it.",
        ) from error
