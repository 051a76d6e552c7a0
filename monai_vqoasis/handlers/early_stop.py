"""Stop when validation no longer improves."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import Evaluator

__all__ = ["EarlyStop"]

logger = logging.getLogger(__name__)


class EarlyStop:
    """Ignite's ``EarlyStopping``, attached to the trainer (a config cannot refer to the trainer from the evaluator).

    A run that it has stopped stays stopped when it is resumed, unless with more patience.

    Args:
        evaluator: computes the metric at validation.
        key_metric: name of its metric.
        patience: validations without improvement after which training stops.
        lower_is_better: whether a lower metric is better.
    """

    def __init__(self, evaluator: Evaluator, key_metric: str, patience: int, lower_is_better: bool = False) -> None:
        sign = -1 if lower_is_better else 1
        self.evaluator = evaluator
        self.stopping = EarlyStopping(
            patience, lambda engine: sign * engine.state.metrics[key_metric], trainer=Engine(lambda *_: None)
        )

    def attach(self, engine: Engine) -> None:
        self.stopping.trainer = engine
        self.evaluator.add_event_handler(Events.COMPLETED, self.stopping)
        engine.add_event_handler(Events.STARTED, self._stay_stopped)

    def state_dict(self) -> Mapping[str, object]:
        return self.stopping.state_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        self.stopping.load_state_dict(state)

    def _stay_stopped(self, engine: Engine) -> None:
        if self.stopping.counter >= self.stopping.patience:
            logger.info(
                f"nothing to do: stopped early after {engine.state.epoch} epochs; raise --early_stopping_patience to "
                "train on."
            )
            engine.terminate()
