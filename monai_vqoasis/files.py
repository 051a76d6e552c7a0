"""Files that at any moment are whole."""

from __future__ import annotations

import os
from pathlib import Path

from monai_vqoasis.errors import StorageError

__all__ = ["replace_file"]


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
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}), what was there before is left as it was; "
            "make room and go on (a training with --resume true)."
        ) from error
