"""Weights from a file, or a sentence that says why not."""

from __future__ import annotations

import io
import logging
import os
import zipfile
from pathlib import Path

import torch
from torch import nn

from monai_vqoasis.errors import InputError
from monai_vqoasis.files import check_file, replace_file
from monai_vqoasis.networks.prior import CodePrior
from monai_vqoasis.networks.recorded_settings import RECORDED_SETTINGS
from monai_vqoasis.networks.vqvae import VectorQuantizedAutoencoder

__all__ = ["load_prior", "load_tensors", "load_weights", "save_tensors"]

logger = logging.getLogger(__name__)


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> nn.Module:
    """Load ``path`` into ``network``, all of it or not at all, and return the network in evaluation mode.

    Args:
        network: the network to fill.
        path: a state dict, or a dictionary that holds one under ``"model"``; tensors only.

    Raises:
        InputError: if there is no such file (random weights are never used in its place), it is no checkpoint, is one
            of another architecture or of other settings, or holds weights that are not finite.
    """
    check_file(path, "no trained weights there; train them first, or name another file.")
    state = load_tensors(path)
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path}: holds no state dict.")
    found, expected = (
        {name: tuple(value.shape) for name, value in tensors.items() if name != RECORDED_SETTINGS}
        for tensors in (state, network.state_dict())
    )
    differing = sorted(set(expected) ^ set(found)) or [
        f"{name}: {found[name]} in the file, {expected[name]} in the network"
        for name in expected
        if found[name] != expected[name]
    ]
    if differing:
        raise InputError(
            f"{path}: was made by another architecture than this {type(network).__name__}; "
            f"{len(differing)} entries differ, the first: {differing[0]}."
        )
    if broken := [name for name, value in state.items() if not value.isfinite().all()]:
        raise InputError(f"{path}: holds weights that are not finite (NaN or infinity), the first in {broken[0]}.")
    try:
        network.load_state_dict(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return network.eval()


def load_prior(
    prior: CodePrior,
    path: str | os.PathLike[str],
    vqvae: VectorQuantizedAutoencoder,
    device: torch.device | str = "cpu",
) -> CodePrior | None:
    """The trained prior of ``vqvae``, or None, with a warning, where there is no file.

    Args:
        prior: the architecture.
        path: its weights.
        vqvae: the stage 1 that it must belong to.
        device: where to compute.

    Raises:
        InputError: for a damaged file, another architecture, or a prior of another codebook.
    """
    if not Path(path).exists():
        logger.warning(f"{path}: no trained prior there; what needs one is left out.")
        return None
    prior = load_weights(prior, path).to(device)
    prior.check_paired_with(vqvae)
    return prior


def load_tensors(path: str | os.PathLike[str]) -> object:
    """What ``torch.save`` wrote to ``path``, on the CPU: tensors, numbers and strings only, and the file whole.

    Raises:
        InputError: if the file cannot be read, is damaged, half-written, or holds anything else.
    """
    check_file(path)
    damaged = InputError(f"{path}: is not a checkpoint of tensors only, or is damaged.")
    try:
        # PyTorch does not look at the checksums in its files
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise damaged
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises any kind
        raise damaged from error


def save_tensors(content: object, path: str | os.PathLike[str]) -> None:
    """Write what :func:`load_tensors` reads; at any moment the file is whole, the old one or the new.

    Raises:
        StorageError: if it cannot be written, as on a full disk; the old file is left.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(Path(path), buffer.getbuffer())
