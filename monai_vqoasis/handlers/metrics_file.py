"""Numbers, in a file."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from ignite.engine import Engine, Events

__all__ = ["MetricsFile"]

logger = logging.getLogger(__name__)


class MetricsFile:
    """Collects the metrics of the evaluators that it is attached to in one JSON file, and logs them.

    Args:
        path: the file; each run starts it anew.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.metrics: dict[str, float] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.metrics.update(engine.state.metrics)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.metrics, indent=4) + "\n")
        for name, value in engine.state.metrics.items():
            logger.info(f"{name}: {value:.5g}")
