"""What a client typed."""

from __future__ import annotations

from monai_vqoasis.errors import InputError

__all__ = ["number"]


def number(name: str, value: object, kind: type = int, least: float = 0) -> float | int:
    """The number that ``value`` is, or says.

    Raises:
        InputError: naming the option, if it is none, or less than ``least``.
    """
    try:
        result = kind(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a number, got {value!r}.") from error
    if not result >= least:
        raise InputError(f"{name} must be {least} or more, got {value!r}.")
    return result
