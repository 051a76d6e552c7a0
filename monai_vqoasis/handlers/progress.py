"""Progress bars."""

from __future__ import annotations

from collections.abc import Mapping

import ignite.distributed as idist
from ignite.engine import Engine
from ignite.handlers import ProgressBar
from monai.utils.enums import CommonKeys as Keys

__all__ = ["LossProgressBar"]


class LossProgressBar(ProgressBar):
    """Ignite's progress bar of the current epoch, with the loss where the engine has one.

    Silent without a terminal, and in all processes but the first.

    Args:
        desc: what is going on.
        unit: what is counted.
    """

    def __init__(self, desc: str, unit: str = "batch") -> None:
        super().__init__(desc=desc, unit=unit, disable=True if idist.get_rank() > 0 else None)

    def attach(self, engine: Engine) -> None:
        super().attach(engine, output_transform=self._loss)

    @staticmethod
    def _loss(output: Mapping[str, object] | list[Mapping[str, object]]) -> dict[str, float]:
        item = output[0] if isinstance(output, list) else output
        return {Keys.LOSS: float(item[Keys.LOSS])} if Keys.LOSS in item else {}
