"""The best network, and all that it takes to go on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from ignite.handlers.checkpoint import BaseSaveHandler
from monai.engines import Evaluator

from monai_vqoasis.errors import InputError
from monai_vqoasis.files import check_file
from monai_vqoasis.handlers.tensorboard import LazySummaryWriter
from monai_vqoasis.networks import load_tensors, save_tensors

__all__ = ["AtomicSaver", "TrainingCheckpoint"]

logger = logging.getLogger(__name__)


class AtomicSaver(BaseSaveHandler):
    """Save handler of Ignite's ``Checkpoint`` for one file, which at any moment is whole: the old one or the new.

    Of several processes the first writes.

    Args:
        path: the file.

    Raises:
        StorageError: on saving, if it cannot be written, as on a full disk; the old file is left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, checkpoint: Mapping, filename: str, metadata: Mapping | None = None) -> None:
        if idist.get_rank() == 0:
            save_tensors(checkpoint, self.path)

    def remove(self, filename: str) -> None:
        """Nothing: the next file takes this one's place."""


class TrainingCheckpoint:
    """Keeps two files: the best network by a validation metric, and the last state of everything, to resume from.

    The best file is a plain state dict, as ``monai.bundle.load`` wants it. The last is written when a run starts anew,
    after each epoch, and when the run is stopped by Ctrl-C or early stopping; not after an error, so that a non-finite
    loss leaves the last good state. Both hold tensors, numbers and strings only.

    ``engine.state.best_path`` is the best file, or None as long as this training, resumed ones included, has kept none.

    Attach it after all other handlers: what they write of an epoch is then there before its state is, and a run that
    was killed at any moment goes on as if it had not been.

    Args:
        evaluator: computes the metric at validation.
        state: what the last file holds besides the trainer: at least ``{"model": network, "optimizer": ...}``; each
            has ``state_dict`` and ``load_state_dict``. An optimizer resumes with its moments, but with the learning
            rate and other settings that it has now.
        best_path: file of the best network, ``state["model"]``.
        last_path: file of the last state.
        key_metric: name of the evaluator's metric that decides.
        lower_is_better: whether a lower metric is better.
        resume: load ``last_path`` when attached.
        summary_writer: a TensorBoard writer whose log goes on where the state was saved; None for none.

    Raises:
        InputError: on attaching, if there is nothing to resume from, or it is damaged or does not fit.
        StorageError: if a file cannot be written, as on a full disk.
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
        summary_writer: LazySummaryWriter | None = None,
    ) -> None:
        self.evaluator = evaluator
        self.state = dict(state)
        self.best_path = Path(best_path)
        self.last_path = Path(last_path)
        self.resume = resume
        self.log = {} if summary_writer is None else {"summary_writer": summary_writer}
        sign = -1 if lower_is_better else 1
        self.best = Checkpoint(
            {"model": self.state["model"]},
            AtomicSaver(self.best_path),
            score_function=lambda engine: sign * engine.state.metrics[key_metric],
            score_name=key_metric,
            filename_pattern=self.best_path.name,
        )

    def attach(self, engine: Engine) -> None:
        state = {**self.state, "trainer": engine, "best": self.best}
        if self.resume:
            self._load(state)
        last = Checkpoint(
            state | self.log,
            AtomicSaver(self.last_path),
            filename_pattern=self.last_path.name,
            score_function=lambda engine: engine.state.iteration,
            greater_or_equal=True,
        )
        self._tell(engine)
        self.evaluator.add_event_handler(Events.COMPLETED, self.best)
        self.evaluator.add_event_handler(Events.COMPLETED, lambda _: self._tell(engine))
        if not self.resume:
            engine.add_event_handler(Events.STARTED, last)
        engine.add_event_handler(Events.EPOCH_COMPLETED, last)
        engine.add_event_handler(Events.TERMINATE, last)

    def _tell(self, engine: Engine) -> None:
        engine.state.best_path = self.best_path if self.best.last_checkpoint else None

    def _load(self, state: Mapping[str, object]) -> None:
        check_file(self.last_path, "no checkpoint to resume from; run once without --resume.")
        checkpoint = load_tensors(self.last_path)
        found = checkpoint.keys() if isinstance(checkpoint, dict) else set()
        if missing := sorted(state.keys() - found):
            raise InputError(
                f"{self.last_path}: cannot resume from it, it has no {', '.join(missing)}: it is not this training's."
            )
        # the log may be new: TensorBoard installed since
        state = {**state, **{name: part for name, part in self.log.items() if name in found}}
        try:
            for name, part in state.items():
                if isinstance(part, torch.optim.Optimizer):
                    for saved, own in zip(checkpoint[name]["param_groups"], part.param_groups, strict=True):
                        saved.update((key, value) for key, value in own.items() if key != "params")
            Checkpoint.load_objects(state, checkpoint)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.last_path}: cannot resume from it: {' '.join(str(error).split())}") from error
        logger.info(f"resumed from {self.last_path}")
