"""TensorBoard, where it is installed."""

from __future__ import annotations

import atexit
import os

from monai.utils import optional_import

__all__ = ["LazySummaryWriter", "tensorboard_writer"]

SummaryWriter, HAS_TENSORBOARD = optional_import("torch.utils.tensorboard", name="SummaryWriter")


class LazySummaryWriter:
    """A ``SummaryWriter`` that writes nothing, not even its folder, before the first value.

    Args:
        log_dir: folder of the log.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = log_dir

    def __getattr__(self, name: str) -> object:
        if name == "_writer":
            self._writer = SummaryWriter(self.log_dir)
            atexit.register(self._writer.close)
            return self._writer
        return getattr(self._writer, name)


def tensorboard_writer(log_dir: str | os.PathLike[str]) -> LazySummaryWriter | None:
    """A writer for MONAI's TensorBoard handlers, or None if TensorBoard is not installed."""
    return LazySummaryWriter(log_dir) if HAS_TENSORBOARD else None
