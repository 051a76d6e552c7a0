"""TensorBoard, where it is installed."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from pathlib import Path

import ignite.distributed as idist
from monai.utils import optional_import

__all__ = ["LazySummaryWriter", "tensorboard_writer"]

SummaryWriter, HAS_TENSORBOARD = optional_import("torch.utils.tensorboard", name="SummaryWriter")


class LazySummaryWriter:
    """A ``SummaryWriter`` that writes nothing, not even its folder, before the first value.

    Its state is how long the log's files are: resumed, they are cut to that, so that no value is there twice.

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

    def state_dict(self) -> Mapping[str, int]:
        if "_writer" in vars(self):
            self._writer.flush()
        return {path.name: path.stat().st_size for path in self._files()}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        for path in self._files():
            if path.name not in state:
                path.unlink()
            elif path.stat().st_size > state[path.name]:
                os.truncate(path, state[path.name])

    def _files(self) -> list[Path]:
        return sorted(Path(self.log_dir).glob("events.out.tfevents.*"))


def tensorboard_writer(log_dir: str | os.PathLike[str]) -> LazySummaryWriter | None:
    """A writer for MONAI's TensorBoard handlers; None if TensorBoard is not installed, or another process writes."""
    return LazySummaryWriter(log_dir) if HAS_TENSORBOARD and idist.get_rank() == 0 else None
