"""Where all random numbers stand, as numbers that a checkpoint can hold."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import torch
from torch import distributed

__all__ = ["get_random_states", "set_random_state"]


def get_random_states(device: torch.device) -> list[dict[str, object]]:
    """State of Python's, numpy's and torch's generators, that of ``device`` too: one entry a process.

    Every process must ask for it at the same time.
    """
    kind, keys, *position = np.random.get_state()  # noqa: NPY002
    own = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *position),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    states: list[dict[str, object]] = [{}] * distributed.get_world_size()
    distributed.all_gather_object(states, own)
    return states


def set_random_state(state: Mapping[str, object], device: torch.device) -> None:
    """Go on from an entry of :func:`get_random_states`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
