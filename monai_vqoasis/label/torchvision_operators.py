"""MONAI Label imports torchvision, for pictures that nobody here asks for."""

from __future__ import annotations

import importlib
import sys

from torch.library import Library

__all__ = ["ensure_torchvision"]

OPERATORS = ("nms", "qnms")
declared: list[Library] = []  # what one declares lives as long as it does


def ensure_torchvision() -> None:
    """Make torchvision importable also where its compiled part is not for this PyTorch (CUDA's beside a CPU's).

    It then has no operators, and fails over two that it wants to say more about; they are declared, not implemented.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        declared.append(Library("torchvision", "FRAGMENT"))
        for name in OPERATORS:
            declared[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
