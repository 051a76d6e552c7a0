"""One line an epoch, for people and for spreadsheets."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from ignite.engine import Engine, Events
from monai.engines import Evaluator

__all__ = ["EpochSummary"]

logger = logging.getLogger(__name__)


class EpochSummary:
    """Logs the trainer's and evaluator's metrics after each epoch and appends them to a CSV file.

    Attach it after the validation handler, so that the evaluator's metrics are those of this epoch.

    Args:
        evaluator: the validation engine.
        csv_path: file to append to, with the columns epoch, train_<metric>, validate_<metric>, seconds (of training
            alone), items_per_second. A run that does not resume starts it anew.
        unit: what an item is, for the line.
    """

    def __init__(self, evaluator: Evaluator, csv_path: str | os.PathLike[str], unit: str = "slices") -> None:
        self.evaluator = evaluator
        self.csv_path = Path(csv_path)
        self.unit = unit

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._clock)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        train, validate = dict(engine.state.metrics), dict(self.evaluator.state.metrics)
        rate = self._items / max(self._seconds, 1e-9)
        logger.info(
            f"epoch {engine.state.epoch}/{engine.state.max_epochs} | train {_text(train)} | "
            f"validate {_text(validate)} | {self._seconds:.0f} s, {rate:.1f} {self.unit}/s"
        )
        row = {"epoch": engine.state.epoch}
        row |= {f"train_{name}": value for name, value in train.items()}
        row |= {f"validate_{name}": value for name, value in validate.items()}
        row |= {"seconds": round(self._seconds, 2), "items_per_second": round(rate, 2)}
        new = not self.csv_path.exists()
        with self.csv_path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _start(self, engine: Engine) -> None:
        self.csv_path.parent.mkdir(parents=True, exist_ok=True)
        if engine.state.iteration == 0:
            self.csv_path.unlink(missing_ok=True)

    def _start_epoch(self, engine: Engine) -> None:
        self._items, self._began, self._seconds = 0, time.perf_counter(), 0.0

    def _count(self, engine: Engine) -> None:
        self._items += len(next(iter(engine.state.batch.values())))

    def _clock(self, engine: Engine) -> None:
        self._seconds = time.perf_counter() - self._began


def _text(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in metrics.items())


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2e}" if 0 < abs(value) < 0.01 else f"{value:.4g}"
