"""Errors that are the user's to mend: one clear sentence each."""

from __future__ import annotations

import errno
import re
from importlib.util import find_spec

__all__ = [
    "ExportError",
    "InputError",
    "MissingPackageError",
    "NonFiniteLossError",
    "StorageError",
    "UserError",
    "find_user_error",
    "require",
]


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# a sentence of this module in the text that PyTorch makes of what a worker process raised
IN_WORKER = re.compile(r"^monai_vqoasis\.errors\.(\w+): (.+)$", re.MULTILINE)
# what a place in the file system refuses, whoever asks
REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EIO,
)  # fmt: skip


class UserError(Exception):
    """Something that the user can mend; the message, one line, names it and says what to do."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class InputError(UserError, ValueError):
    """A file, folder or setting is wrong."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed."""


class NonFiniteLossError(UserError, RuntimeError):
    """The loss became NaN or infinite; no step was made with it."""


class StorageError(UserError, OSError):
    """A file could not be written: the disk is full, or the place is not one to write to."""


class ExportError(UserError, RuntimeError):
    """An exported network does not compute what the network does."""


def require(extra: str, *packages: str) -> None:
    """Make sure that the packages of an optional extra can be imported.

    Raises:
        MissingPackageError: naming those that cannot, and how to install them.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingPackageError(f'{", ".join(missing)} not installed: pip install "monai_vqoasis[{extra}]"')


def find_user_error(error: BaseException | None) -> UserError | None:
    """The :class:`UserError` at the root of a chain of exceptions, or None.

    MONAI wraps what a transform or a config component raises, so that the sentence that helps is far up the chain. A
    full disk, or a file or folder that the system refuses, is a :class:`StorageError` wherever it was noticed.
    """
    while error is not None:
        told = str(error.args[0]) if error.args else ""
        if "Original Traceback" in told and (sentences := IN_WORKER.findall(told)):
            kind, sentence = sentences[-1]
            return globals()[kind](sentence)
        if isinstance(error, UserError):
            return error
        if isinstance(error, OSError) and error.errno in FULL:
            return StorageError(f"{error.filename or 'a file'}: cannot be written ({error.strerror}); make room.")
        if isinstance(error, OSError) and error.errno in REFUSED and error.filename is not None:
            return StorageError(f"{error.filename}: cannot be read or written ({error.strerror}); name another place.")
        error = error.__cause__ or error.__context__
    return None
