"""What a bundle config needs before it runs: where it lies, whether its settings can be, seed and error messages."""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import inspect
import json
import logging
import os
import reprlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import ignite.distributed as idist
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ReferenceResolver
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS
from monai.utils import set_determinism

from monai_vqoasis.errors import InputError, find_user_error
from monai_vqoasis.settings import check_device, check_setting, is_expression, is_setting

__all__ = [
    "bundle_root",
    "check_config_keys",
    "check_definitions",
    "check_setting_types",
    "initialize",
    "join_processes",
    "keep_freed_memory",
    "read_words",
    "report",
    "short_errors",
]

TRACKING = DEFAULT_MLFLOW_SETTINGS["configs"]  # what --tracking mlflow adds
READ_BY_MONAI = {"_meta_", "imports", "initialize", "run", "finalize", *TRACKING} - {"output_dir"}


def initialize() -> None:
    """First step of every config: short errors, settings that can be, its seed for Python, numpy and torch.

    It takes no arguments, and configs name it by its path, so that one that lacks ``seed`` or ``imports`` is told so.
    """
    short_errors()
    config = _calling(ConfigParser)
    for key in ("imports", "seed"):
        if key not in config:
            raise InputError(f"config key {key} is missing: every config of this bundle needs it.")
    check_config_keys()
    read_words()
    check_setting_types()
    check_definitions()
    keep_freed_memory()
    set_determinism(seed=config["seed"])


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


def check_config_keys() -> None:
    """Make sure that every top-level key of the config being evaluated is one that something reads, and is there.

    MONAI ignores an override that no config knows, as ``--batchsize 3`` for ``batch_size``, and one that this config
    does not read.

    Raises:
        InputError: naming the key and the nearest known one.
    """
    parser = _calling(ConfigParser)
    if parser is None:
        return
    config = parser.get()
    references = {name for text in _strings(config) for name in ReferenceResolver.match_refs_pattern(text)}
    for name in sorted(references):
        if name not in parser:
            raise InputError(f"config key {name} is missing: this config refers to it as @{name}.")
    workflow = _calling(ConfigWorkflow)
    if workflow is not None and workflow.run_id not in parser:
        known = [key for key, value in config.items() if value == config.get("run")]
        raise InputError(f"this config has no {workflow.run_id} to run; it has {', '.join(known) or 'nothing to run'}.")
    read = {ReferenceResolver.split_id(name)[0] for name in references}
    defaults = _bundle_defaults(bundle_root())
    settings = {key for key in read & defaults.keys() if is_setting(key, defaults[key])}
    runs = {key for key, values in defaults.items() if "@run" in values}
    as_they_stand = {**{key: [value] for key, value in TRACKING.items()}, **defaults}
    for key, value in config.items():
        # an overlay may hold settings of another stage, unread here but as they stand in the file
        if key not in read | runs | READ_BY_MONAI | {"seed"} and value not in as_they_stand.get(key, []):
            near = difflib.get_close_matches(key, settings or defaults, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"it reads {', '.join(sorted(settings))}."
            raise InputError(f"unknown config key {key}: nothing in this config reads it; {hint}")


def read_words() -> None:
    """Make ``--resume true`` and ``--device cpu`` what they say: Fire reads a capital True only, the rest as text.

    Paths, which a workflow in one's own code may be given, become text.

    Raises:
        InputError: naming the key that is to be true or false and is neither, or a device that is not there.
    """
    parser = _calling(ConfigParser)
    if parser is None:
        return
    defaults = _bundle_defaults(bundle_root())
    words = {"true": True, "false": False}
    read: dict[str, object] = {}
    for key, value in parser.get().items():
        if isinstance(value, os.PathLike):
            read[key] = os.fspath(value)
        elif not isinstance(value, str) or is_expression(value):
            continue
        elif key == "device":
            check_device(value)
            read[key] = f"$torch.device({value!r})"
        elif any(isinstance(default, bool) for default in defaults.get(key, ())):
            if value.lower() not in words:
                raise InputError(f"{key} must be true or false, got {value!r}.")
            read[key] = words[value.lower()]
    if read:
        parser.update(read)
        parser.parse(True)


def check_setting_types() -> None:
    """Make sure that every top-level setting of the config being evaluated is of the kind of its default.

    A key that several configs of the bundle have may be of the kind of any of them; expressions are not looked into.

    Raises:
        InputError: naming the key, what it must be, and what was given; also for a training that never validates.
    """
    parser = _calling(ConfigParser)
    config = {} if parser is None else parser.get()
    for key, defaults in _bundle_defaults(bundle_root()).items():
        if key in config and key not in READ_BY_MONAI and not is_expression(config[key]):
            check_setting(key, config[key], defaults)
    interval, epochs = (config.get(key) for key in ("val_interval", "max_epochs"))
    if isinstance(interval, int) and isinstance(epochs, int) and interval > epochs:
        raise InputError(
            f"val_interval must be at most max_epochs, {epochs}, got {interval}: what is never validated is not kept."
        )


def check_definitions() -> None:
    """Make sure that what ``network_def`` and its like describe are networks.

    Raises:
        InputError: naming the key, and what is wrong with what it describes.
    """
    parser = _calling(ConfigParser)
    if parser is None:
        return
    config = parser.get()
    # the networks that are used are made later, by the config
    trial = ConfigParser(dict(config))
    trial.locator = parser.locator  # which has searched for MONAI's classes
    for key in [key for key in config if key.endswith("_def")]:
        try:
            with torch.random.fork_rng(devices=[]):
                network = trial.get_parsed_content(key)
        except Exception as error:  # whatever it describes raises any kind
            while error.__cause__ is not None:
                error = error.__cause__
            raise InputError(f"{key}: cannot be made as described ({error}).") from error
        if not isinstance(network, torch.nn.Module):
            raise InputError(f"{key} must describe a network, got {reprlib.repr(config[key])}.")


def short_errors() -> None:
    """End the program with one line instead of a traceback where the user's input is at fault, and on Ctrl-C."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if (mine := find_user_error(error)) is not None:
            print(f"error: {mine}", file=sys.stderr)
        elif issubclass(kind, KeyboardInterrupt):
            print("stopped.", file=sys.stderr)
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


def report(**paths: str | os.PathLike[str] | None) -> None:
    """Last step of every config: say where the results are (of several processes the first does); None for nowhere."""
    if idist.get_rank() == 0:
        for name, path in paths.items():
            print(f"{name}: {'none' if path is None else Path(path).resolve()}")


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
def _bundle_defaults(root: str) -> dict[str, list[object]]:
    """Values, as they stand in the files, of the top-level keys of all configs of a bundle."""
    defaults: dict[str, list[object]] = {}
    for file in (Path(root) / "configs").glob("*.json"):
        try:
            config = json.loads(file.read_text())
        except ValueError as error:
            raise InputError(f"{file}: is no JSON file ({error}).") from error
        if not isinstance(config, dict):
            raise InputError(f"{file}: is no config: it holds no names with values.")
        if file.name != "metadata.json":
            for key, value in config.items():
                defaults.setdefault(key.lstrip("+"), []).append(value)
    return defaults


def _strings(config: object) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict):
        for value in config.values():
            yield from _strings(value)
    elif isinstance(config, list):
        for value in config:
            yield from _strings(value)
