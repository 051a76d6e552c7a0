"""Files: read where that can be done, written so that at any moment they are whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from monai_vqoasis.errors import FULL, InputError, StorageError

__all__ = ["check_file", "replace_file"]


def check_file(path: str | os.PathLike[str], missing: str = "no such file.") -> Path:
    """``path``, if it is a file that can be read.

    Args:
        path: the file.
        missing: what to say where there is none.

    Raises:
        InputError: naming it, if it is missing, a folder or something else, or not allowed to be read.
    """
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()  # never a pipe, which would wait for someone to write
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: {missing}") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise InputError(f"{path}: is {kind}, not a file.")
    return path


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Put ``content`` in the place of what ``path`` holds: whenever the program ends, the file is the old or the new.

    Raises:
        StorageError: if it cannot be written, as on a full disk; the old file is left, and nothing else.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        full = isinstance(error, OSError) and error.errno in FULL
        advice = "make room and go on (a training with --resume true)" if full else "name another place"
        raise StorageError(
            f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}), what was there before is left "
            f"as it was; {advice}."
        ) from error
