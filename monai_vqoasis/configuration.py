"""What a bundle config needs before it runs: where it lies, whether its keys are known, seed and error messages."""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import inspect
import json
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import ignite.distributed as idist
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.utils import set_determinism

from monai_vqoasis.errors import InputError, find_user_error

__all__ = [
    "bundle_root",
    "check_choice",
    "check_config_keys",
    "drop_down",
    "initialize",
    "join_processes",
    "keep_freed_memory",
    "read_booleans",
    "report",
    "short_errors",
]

REFERENCE = re.compile(r"[@%](\w+)")


def initialize(seed: int) -> None:
    """First step of every config: short errors, known keys only, a seed for Python, numpy and torch."""
    short_errors()
    check_config_keys()
    read_booleans()
    keep_freed_memory()
    set_determinism(seed=seed)


def join_processes() -> None:
    """Join the processes that ``torchrun`` started: through NCCL on GPUs, one each, and Gloo on a CPU.

    The first alone says what goes on; each draws its own random numbers, where they need not be the same.
    """
    if idist.backend() is None:
        idist.initialize("nccl" if torch.cuda.is_available() else "gloo")
    if idist.get_rank() > 0:
        logging.getLogger("monai_vqoasis").setLevel(logging.WARNING)
        torch.manual_seed(torch.initial_seed() + idist.get_rank())


def bundle_root() -> str:
    """Folder of the bundle whose config is being evaluated, from whichever folder it was started.

    MONAI tells a config neither its own path nor its parser, so both are taken from the calling workflow. Outside a
    ``ConfigWorkflow`` (a bare ``ConfigParser``) it is the working folder, as in the model zoo's bundles.
    """
    workflow = _calling(ConfigWorkflow)
    if workflow is None:
        return "."
    configs = Path(workflow.config_root_path).resolve()
    return str(configs.parent if configs.name == "configs" else configs)


def drop_down(first: str, choices: Sequence[str]) -> list[str]:
    """``choices`` with one of them ``first``: what MONAI Label's clients show as a drop-down with its default."""
    return [first, *(choice for choice in choices if choice != first)]


def check_choice(key: str, value: str | Sequence[str], choices: Sequence[str]) -> str:
    """``value``, if it is one of ``choices``; of a :func:`drop_down` from which nothing was chosen, the first.

    Raises:
        InputError: naming the key and the choices, if it is not.
    """
    value = value if isinstance(value, str) else value[0]
    if value not in choices:
        raise InputError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")
    return value


def check_config_keys() -> None:
    """Make sure that every top-level key of the config being evaluated is one that something reads.

    MONAI ignores an override that no config knows, as ``--batchsize 3`` for ``batch_size``.

    Raises:
        InputError: naming the key and the nearest known one.
    """
    parser = _calling(ConfigParser)
    if parser is None:
        return
    config = parser.get()
    read = {name for text in _strings(config) for name in REFERENCE.findall(text)}
    settings, objects = _bundle_keys(bundle_root())
    for key, value in config.items():
        # an overlay may hold settings of another stage, unread here but as they stand in the file
        if key not in read | objects and value not in settings.get(key, []):
            near = difflib.get_close_matches(key, read & settings.keys() or settings, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it reads {', '.join(sorted(read & settings.keys()))}."
            raise InputError(f"unknown config key {key}: nothing in this config reads it; {hint}")


def read_booleans() -> None:
    """Make ``--resume true`` and ``--resume false`` what they say: Fire reads a capital True only, the rest as text.

    Raises:
        InputError: naming the key that is to be true or false and is neither.
    """
    parser = _calling(ConfigParser)
    if parser is None:
        return
    settings, _ = _bundle_keys(bundle_root())
    words = {"true": True, "false": False}
    texts = {
        key: value
        for key, value in parser.get().items()
        if isinstance(value, str) and any(isinstance(default, bool) for default in settings.get(key, ()))
    }
    for key, value in texts.items():
        if value.lower() not in words:
            raise InputError(f"{key} must be true or false, got {value!r}.")
        parser[key] = words[value.lower()]
    if texts:
        parser.parse(True)


def short_errors() -> None:
    """End the program with one line instead of a traceback where the user's input is at fault."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if (mine := find_user_error(error)) is not None:
            print(f"error: {mine}", file=sys.stderr)
        else:
            previous(kind, error, traceback)

    if getattr(previous, "__name__", "") != "monai_vqoasis_hook":
        hook.__name__ = "monai_vqoasis_hook"
        sys.excepthook = hook


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed for the next batch instead of giving it back to the system.

    On a CPU every batch otherwise pays again for the pages of its activations; training the original VQ-VAE ran 1.6
    times as fast with this on two cores. Where the C library is another one, nothing happens.
    """
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)


def report(**paths: str) -> None:
    """Last step of every config: say where the results are (of several processes the first does)."""
    if idist.get_rank() == 0:
        for name, path in paths.items():
            print(f"{name}: {Path(path).resolve()}")


def _calling(kind: type) -> Any:
    """The nearest object of ``kind`` that is at work (``self``) in the call stack, or None."""
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, kind):
            return owner
        frame = frame.f_back
    return None


@cache
def _bundle_keys(root: str) -> tuple[dict[str, list[object]], set[str]]:
    """Top-level keys of all configs of a bundle: settings with their values, and objects and run ids."""
    settings: dict[str, list[object]] = {}
    objects = {"_meta_", "imports", "initialize", "run", "finalize"}
    objects |= DEFAULT_MLFLOW_SETTINGS["configs"].keys()  # what --tracking mlflow adds
    for file in (Path(root) / "configs").glob("*.json"):
        for key, value in json.loads(file.read_text()).items() if file.name != "metadata.json" else ():
            if isinstance(value, dict) or (isinstance(value, str) and value[:1] in ("$", "%", "@")):
                objects.add(key.lstrip("+"))
            else:
                settings.setdefault(key, []).append(value)
    return settings, objects


def _strings(config: object) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        for value in config.values():
            yield from _strings(value)
    elif isinstance(config, list):
        for value in config:
            yield from _strings(value)
