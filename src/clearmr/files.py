"""Writing files so that a reader never meets half of one."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearmr.errors import InputError


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise InputError where `path` exists and is not to be replaced, or where its folder does not exist."""
    if path.exists() and not force:
        raise InputError("an output that does not exist yet", str(path), "choose another name or pass --force")
    if not path.parent.is_dir():
        raise InputError("an output in an existing folder", f"no folder {path.parent}", "make the folder first")


@contextmanager
def whole_file(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path` (same ending) and rename it to `path` when the block ends well.

    Raises InputError where `path` exists and `force` is not set. On any error nothing is left behind.
    """
    path = Path(path)
    refuse_existing(path, force=force)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = folder / path.name
        yield temporary
        temporary.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def whole_folder(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """As `whole_file`, for a folder: give an empty temporary one, rename it to `path` when the block ends well.

    An existing folder is replaced where `force` is set: its files are gone only when the new ones are whole.
    """
    path = Path(path)
    refuse_existing(path, force=force)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary, old = holder / path.name, holder / "old"
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
