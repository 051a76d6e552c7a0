"""The learning rate, iteration by iteration."""

from __future__ import annotations

import warnings

from ignite.engine import Engine, Events
from monai.handlers import LrScheduleHandler

__all__ = ["IterationLrSchedule"]


class IterationLrSchedule(LrScheduleHandler):
    """Steps a scheduler of torch or MONAI after each iteration, from where a resumed trainer stands.

    The scheduler's position is the trainer's iteration, so that it needs no state of its own in a checkpoint, and
    training on with more epochs stretches the schedule instead of running past its end.

    Args:
        lr_scheduler: whose rate is a function of its position, as in ``monai.optimizers.WarmupCosineSchedule``.
    """

    def __init__(self, lr_scheduler: object) -> None:
        super().__init__(lr_scheduler, print_lr=False, epoch_level=False)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        super().attach(engine)

    def _start(self, engine: Engine) -> None:
        if engine.state.iteration:
            self.lr_scheduler.last_epoch = engine.state.iteration - 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch misses the steps of before
                self.lr_scheduler.step()
