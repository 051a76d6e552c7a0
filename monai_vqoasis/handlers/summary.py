"""One line an epoch, for people and for spreadsheets."""

from __future__ import annotations

import csv
import io
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from monai_vqoasis.files import replace_file

__all__ = ["EpochSummary"]

logger = logging.getLogger(__name__)
TIMING = ("seconds", "items_per_second")


class EpochSummary:
    """Logs the trainer's and evaluator's metrics after each epoch and adds them to a CSV file.

    Attach it after the validation handler, so that the evaluator's metrics are those of this epoch; without validation
    an epoch has none. Of several processes the first writes, what it counts are the items of all.

    Args:
        evaluator: the validation engine.
        csv_path: file to add to, with the columns epoch, train_<metric>, validate_<metric>, seconds (of training
            alone), items_per_second. A run that does not resume starts it anew; one that does makes the epochs after
            its checkpoint again, and their rows too.
        unit: what an item is, for the line.
    """

    def __init__(self, evaluator: Evaluator, csv_path: str | os.PathLike[str], unit: str = "slices") -> None:
        self.evaluator = evaluator
        self.csv_path = Path(csv_path)
        self.unit = unit

    def attach(self, engine: Engine) -> None:
        self.evaluator.add_event_handler(Events.COMPLETED, self._keep_validation)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._count)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._clock)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        train, validate = dict(engine.state.metrics), self._validation
        rate = idist.all_reduce(self._items) / max(self._seconds, 1e-9)
        if idist.get_rank() > 0:
            return
        parts = [f"{name} {_text(metrics)}" for name, metrics in (("train", train), ("validate", validate)) if metrics]
        logger.info(
            f"epoch {engine.state.epoch}/{engine.state.max_epochs} | {' | '.join(parts)} | "
            f"{self._seconds:.0f} s, {rate:.1f} {self.unit}/s"
        )
        row = {"epoch": engine.state.epoch}
        row |= {f"train_{name}": value for name, value in train.items()}
        row |= {f"validate_{name}": value for name, value in validate.items()}
        row |= {"seconds": round(self._seconds, 2), "items_per_second": round(rate, 2)}
        self._write([*self._rows(before=engine.state.epoch), row])

    def _rows(self, before: int) -> list[dict[str, object]]:
        """The rows of the epochs before one."""
        if not self.csv_path.is_file():
            return []
        with self.csv_path.open(newline="") as file:
            return [row for row in csv.DictReader(file) if int(row["epoch"]) < before]

    def _write(self, rows: list[dict[str, object]]) -> None:
        # the timing last, also where the first epoch was not validated
        columns = sorted(dict.fromkeys(name for row in rows for name in row), key=lambda name: name in TIMING)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        replace_file(self.csv_path, text.getvalue().encode())

    def _start(self, engine: Engine) -> None:
        if engine.state.iteration == 0 and idist.get_rank() == 0:
            self.csv_path.unlink(missing_ok=True)

    def _keep_validation(self, evaluator: Evaluator) -> None:
        self._validation = dict(evaluator.state.metrics)

    def _start_epoch(self, engine: Engine) -> None:
        self._validation: Mapping[str, float] = {}
        self._items, self._began, self._seconds = 0, time.perf_counter(), 0.0

    def _count(self, engine: Engine) -> None:
        self._items += len(next(iter(engine.state.batch.values())))

    def _clock(self, engine: Engine) -> None:
        self._seconds = time.perf_counter() - self._began


def _text(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in metrics.items())


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2e}" if 0 < abs(value) < 0.01 else f"{value:.4g}"
