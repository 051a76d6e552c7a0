"""What values the settings of a config may have."""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Sequence

import torch

from monai_vqoasis.errors import InputError

__all__ = ["check_choice", "check_device", "check_setting", "chosen", "drop_down", "is_expression", "is_setting"]

PATH = ("_dir", "_path")
ABOVE_ZERO = sys.float_info.min
# smallest and largest value of a setting, or of each in a list, where what reads it does not say
BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        ("batch_size", "codec_slices", "early_stopping_patience", "image_size", "max_epochs", "num_pictures",
         "num_variants", "roi_size", "samples_per_position", "slice_batch_size", "val_batch_size", "val_interval"),
        (1, math.inf),
    ),
    **dict.fromkeys(
        ("learning_rate_index", "max_shift", "num_test", "num_train", "num_validate", "num_workers", "warmup_steps",
         "weight_decay"),
        (0, math.inf),
    ),
    **dict.fromkeys(("learning_rate", "max_grad_norm", "threshold"), (ABOVE_ZERO, math.inf)),
    **dict.fromkeys(("cache_rate", "mirror_prob"), (0, 1)),
    "seed": (0, 2**32 - 1),
}  # fmt: skip
# of which kind settings are whose only default is null
UNSET: dict[str, object] = {"intensity_max": 1.0, "threshold": 1.0, "top_k": 1, "top_p": 1.0}


def is_expression(value: object) -> bool:
    """Whether MONAI evaluates ``value`` or looks it up, instead of taking it as it stands."""
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


def is_setting(key: str, defaults: Sequence[object]) -> bool:
    """Whether ``key`` holds a value or a path, not an object that the config makes."""
    return key.endswith(PATH) or any(not is_expression(d) and not isinstance(d, dict) for d in defaults)


def check_setting(key: str, value: object, defaults: Sequence[object]) -> None:
    """Make sure that ``value`` is of the kind of one of the ``defaults`` of ``key``, and within its bounds.

    Raises:
        InputError: naming the key, what it must be, and what was given.
    """
    if key.endswith(PATH):
        if not (isinstance(value, str) and value and "\0" not in value) and (value is not None or None not in defaults):
            raise InputError(f"{key} must be a path, got {reprlib.repr(value)}.")
        return
    kinds = [default for default in defaults if not is_expression(default)]
    if all(default is None for default in kinds):  # or there is none
        if key not in UNSET:
            return
        kinds.append(UNSET[key])
    if not any(_is_like(value, default) for default in kinds):
        text = " or ".join(dict.fromkeys(_describe(default) for default in kinds))
        raise InputError(f"{key} must be {text}, got {reprlib.repr(value)}.")
    low, high = BOUNDS.get(key, (-math.inf, math.inf))
    for number in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(number, (int, float)) and not (low <= number <= high and math.isfinite(number)):
            least = "above 0" if low == ABOVE_ZERO else f"{low} or more" if low > -math.inf else "finite"
            bounds = least if high == math.inf else f"{low} to {high}"
            raise InputError(f"{key} must be {bounds}, got {reprlib.repr(value)}.")


def drop_down(first: str, choices: Sequence[str]) -> list[str]:
    """``choices`` with one of them ``first``: what MONAI Label's clients show as a drop-down with its default."""
    return [first, *(choice for choice in choices if choice != first)]


def chosen(value: object) -> object:
    """The value of an option; of a :func:`drop_down` from which nothing was chosen, the first."""
    return value[0] if isinstance(value, list) else value


def check_choice(key: str, value: object, choices: Sequence[str]) -> str:
    """``value``, if it is one of ``choices``.

    Raises:
        InputError: naming the key and the choices, if it is not.
    """
    if value not in choices:
        raise InputError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")
    return value


def check_device(value: str) -> None:
    """Make sure that ``value`` names a device that is there.

    Raises:
        InputError: if it does not.
    """
    try:
        torch.empty(0, device=value)
    except Exception as error:  # each backend raises its own
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"device must name one that is there, as cpu or cuda:0, got {value!r} ({why}).") from error


def _is_like(value: object, default: object) -> bool:
    if default is None:
        return value is None
    if isinstance(default, list):
        if not isinstance(value, (list, tuple)) or not _holds_numbers(default):
            return isinstance(value, (list, tuple))
        return len(value) == len(default) and all(_is_like(*pair) for pair in zip(value, default, strict=True))
    if isinstance(default, (bool, str, dict)):
        return isinstance(value, type(default))
    return isinstance(value, int if isinstance(default, int) else (int, float)) and not isinstance(value, bool)


def _describe(default: object) -> str:
    if isinstance(default, list):
        return f"a list like {default}" if _holds_numbers(default) else "a list"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "a dictionary"}
    return names.get(type(default), "None")


def _holds_numbers(values: Sequence[object]) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
