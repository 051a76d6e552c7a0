"""Weights that say what their shapes do not tell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from monai_vqoasis.errors import InputError

__all__ = ["RECORDED_SETTINGS", "RecordsSettings"]

logger = logging.getLogger(__name__)

RECORDED_SETTINGS = "_extra_state"  # PyTorch's name in a state dict for what `get_extra_state` returns


class RecordsSettings(nn.Module):
    """A network whose weights hold those of its settings that no shape tells, and load into no network of others.

    PyTorch would load them, and the network would compute something else.
    """

    def recorded_settings(self) -> dict[str, tuple[int, ...]]:
        """These settings by the names of their arguments; zeros where one is None."""
        raise NotImplementedError

    def get_extra_state(self) -> torch.Tensor:
        """The values of all recorded settings, int64."""
        values = [value for values in self.recorded_settings().values() for value in values]
        return torch.tensor(values, dtype=torch.int64)

    def set_extra_state(self, state: torch.Tensor) -> None:
        """Hold what weights record against this network's settings.

        Raises:
            InputError: naming the first that differs, and both values.
        """
        found = state.flatten().tolist()
        for name, own in self.recorded_settings().items():
            theirs, found = tuple(found[: len(own)]), found[len(own) :]
            if theirs != own:
                raise InputError(
                    f"these weights were trained with {name} {_shown(theirs)}, this {type(self).__name__} has "
                    f"{_shown(own)}: describe it as they need it (network_def, vqvae_def or prior_def)."
                )

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As ``torch.nn.Module`` does; weights that record nothing are taken to be of these settings, with a warning.

        Raises:
            InputError: for weights of other settings.
        """
        if RECORDED_SETTINGS not in state_dict:
            settings = ", ".join(f"{name} {_shown(values)}" for name, values in self.recorded_settings().items())
            logger.warning(f"weights of before 0.5.2 do not say what they were trained with; taken to be: {settings}.")
            state_dict = {**state_dict, RECORDED_SETTINGS: self.get_extra_state()}
        return super().load_state_dict(state_dict, strict, assign)


def _shown(values: tuple[int, ...]) -> str:
    return str(list(values) if any(values) else None)
