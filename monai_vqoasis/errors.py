"""Errors that are the user's to mend: one clear sentence each."""

from __future__ import annotations

__all__ = ["InputError", "NonFiniteLossError", "UserError", "find_user_error"]


class UserError(Exception):
    """Something that the user can mend; the message names it and says what to do."""


class InputError(UserError, ValueError):
    """A file, folder or setting is wrong."""


class NonFiniteLossError(UserError, RuntimeError):
    """The loss became NaN or infinite; no step was made with it."""


def find_user_error(error: BaseException | None) -> UserError | None:
    """The :class:`UserError` at the root of a chain of exceptions, or None.

    MONAI wraps what a transform or a config component raises, so that the sentence that helps is far up the chain.
    """
    while error is not None:
        if isinstance(error, UserError):
            return error
        error = error.__cause__ or error.__context__
    return None
