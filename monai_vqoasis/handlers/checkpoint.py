"""The best network, and all that it takes to go on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler
from monai.engines import Evaluator

from monai_vqoasis.errors import InputError

__all__ = ["AtomicSaver", "TrainingCheckpoint"]

logger = logging.getLogger(__name__)


class AtomicSaver(BaseSaveHandler):
    """Save handler of Ignite's ``Checkpoint`` for one file, which at any moment is whole: the old one or the new.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def remove(self, filename: str) -> None:
        """Nothing: the next file takes this one's place."""


class TrainingCheckpoint:
    """Keeps two files: the best network by a validation metric, and the last state of everything, to resume from.

    The best file is a plain state dict, as ``monai.bundle.load`` wants it. The last is written after each epoch and
    when the run is stopped by Ctrl-C or early stopping; not after an error, so that a non-finite loss leaves the last
    good state. Both hold tensors, numbers and strings only. Attach it after the validation handler.

    Args:
        evaluator: computes the metric at validation.
        state: what the last file holds besides the trainer: at least ``{"model": network, "optimizer": ...}``; each
            has ``state_dict`` and ``load_state_dict``.
        best_path: file of the best network, ``state["model"]``.
        last_path: file of the last state.
        key_metric: name of the evaluator's metric that decides.
        lower_is_better: whether a lower metric is better.
        resume: load ``last_path`` when attached.

    Raises:
        InputError: on attaching, if there is nothing to resume from, or it does not fit.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        state: Mapping[str, object],
        best_path: str | os.PathLike[str],
        last_path: str | os.PathLike[str],
        key_metric: str,
        lower_is_better: bool = False,
        resume: bool = False,
    ) -> None:
        self.evaluator = evaluator
        self.state = dict(state)
        self.last_path = Path(last_path)
        self.resume = resume
        sign = -1 if lower_is_better else 1
        self.best = Checkpoint(
            {"model": self.state["model"]},
            AtomicSaver(Path(best_path)),
            score_function=lambda engine: sign * engine.state.metrics[key_metric],
            score_name=key_metric,
            filename_pattern=Path(best_path).name,
        )

    def attach(self, engine: Engine) -> None:
        state = {**self.state, "trainer": engine, "best": self.best}
        if self.resume:
            self._load(state)
        last = Checkpoint(
            state,
            AtomicSaver(self.last_path),
            filename_pattern=self.last_path.name,
            score_function=lambda engine: engine.state.iteration,
            greater_or_equal=True,
        )
        self.evaluator.add_event_handler(Events.COMPLETED, self.best)
        engine.add_event_handler(Events.EPOCH_COMPLETED, last)
        engine.add_event_handler(Events.TERMINATE, last)

    def _load(self, state: Mapping[str, object]) -> None:
        if not self.last_path.is_file():
            raise InputError(f"{self.last_path}: no checkpoint to resume from; run once without --resume.")
        try:
            Checkpoint.load_objects(state, torch.load(self.last_path, map_location="cpu", weights_only=True))
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(f"{self.last_path}: cannot resume from it: {error}") from error
        logger.info(f"resumed from {self.last_path}")
