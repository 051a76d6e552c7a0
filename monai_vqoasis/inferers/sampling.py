"""Exact samples from an autoregressive prior, one code after the other."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from tqdm import tqdm

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks import CodePrior

__all__ = ["AncestralSampler", "draw_codes", "position_uniforms"]


class AncestralSampler:
    """Draws grids of codes from a prior, one position after the other: code i from p(code_i | codes before i).

    This is the plain loop, one pass of the network a position, which :class:`WavefrontSampler` is held against. The
    network is evaluated in double precision, so that a sample does not depend on how many others are drawn beside it:
    rounding differs between batch sizes by about 1e-14, and a draw changes only if its random number falls that close
    to a border between two codes.

    Args:
        temperature: divides the logits; below 1 the likely becomes likelier.
        top_k: draw among the k likeliest codes only; None for all. Codes as likely as the k-th stay.
        top_p: draw among the likeliest codes that together have at least this probability (nucleus sampling, Holtzman
            et al. 2020, https://arxiv.org/abs/1904.09751); None for all.
        progress: show a progress bar.
        dtype: precision of the network; ``torch.float32`` is faster, but rounding then differs between batch sizes,
            devices and samplers by about 1e-6, which changed 2 of 256 grids of a trained prior
            (``benchmarks/sampling.py``).

    Raises:
        InputError: for a temperature that is not positive, top_k below 1, or top_p outside (0, 1].
    """

    def __init__(
        self,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        progress: bool = False,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k must be at least 1, got {top_k}.")
        if top_p is not None and not 0 < top_p <= 1:
            raise InputError(f"top_p must lie in (0, 1], got {top_p}.")
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.progress = progress
        self.dtype = dtype

    @torch.no_grad()
    def __call__(
        self,
        prior: CodePrior,
        latent_shape: Sequence[int],
        seeds: Sequence[int],
        given: torch.Tensor | None = None,
        conditions: Mapping[str, Sequence[int]] | None = None,
    ) -> torch.Tensor:
        """Draw one grid for each seed.

        Args:
            prior: a trained stage 2.
            latent_shape: size (h, w) of the grid.
            seeds: one for each sample; a sample depends on its seed alone, not on the others.
            given: codes to keep, int64, B h w (B the number of seeds), -1 where a code is to be drawn.
            conditions: of a prior that has any, a value for each sample; -1 where it is not known.

        Returns:
            int64, B h w, on the prior's device.

        Raises:
            ValueError: if ``given`` has another shape, or holds something that is no code.
        """
        device = next(prior.parameters()).device
        codes = start_grid(prior.num_embeddings, latent_shape, seeds, given).to(device)
        uniforms = position_uniforms(seeds, latent_shape).to(device)
        values = {name: torch.as_tensor(value).to(device) for name, value in (conditions or {}).items()}
        self.fill(copy.deepcopy(prior).to(self.dtype).eval(), codes, uniforms, values)
        return codes

    def fill(
        self, network: CodePrior, codes: torch.Tensor, uniforms: torch.Tensor, conditions: Mapping[str, torch.Tensor]
    ) -> None:
        """Draw, in place, the codes that are -1 (int64, B h w), by the random numbers ``uniforms`` (B h w)."""
        order = network.wave(codes.shape[1:]).flatten().argsort(stable=True).tolist()
        positions = [divmod(index, codes.shape[2]) for index in order]
        for r, c in tqdm(positions, desc="sampling", unit="code", disable=None if self.progress else True):
            free = codes[:, r, c] < 0
            if free.any():
                logits = network(codes.clamp_min(0), **conditions)[:, :, r, c]
                codes[free, r, c] = self.draw(logits, uniforms[:, r, c])[free]

    def draw(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Codes (B) drawn from ``logits`` (B K) by the random numbers ``uniforms`` (B, in [0, 1))."""
        return draw_codes(logits, uniforms, self.temperature, self.top_k, self.top_p)


def start_grid(
    num_embeddings: int, latent_shape: Sequence[int], seeds: Sequence[int], given: torch.Tensor | None
) -> torch.Tensor:
    """A copy of ``given``, checked; or -1 everywhere."""
    shape = (len(seeds), *latent_shape)
    if given is None:
        return torch.full(shape, -1, dtype=torch.int64)
    if tuple(given.shape) != shape:
        raise ValueError(f"given must have shape {shape} (seeds, height, width), got {tuple(given.shape)}.")
    if given.is_floating_point() or given.min() < -1 or given.max() >= num_embeddings:
        raise ValueError(
            f"given must hold codes in [0, {num_embeddings}) as integers, and -1 where one is to be drawn."
        )
    return given.to(torch.int64, copy=True)


def position_uniforms(seeds: Sequence[int], latent_shape: Sequence[int]) -> torch.Tensor:
    """One random number in [0, 1) for each sample and position (float64, B h w), drawn on the CPU from its seed."""
    height, width = latent_shape
    rows = [torch.rand(height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(rows)


def draw_codes(
    logits: torch.Tensor,
    uniforms: torch.Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> torch.Tensor:
    """Invert the cumulative distribution of softmax(logits / temperature), restricted by top_k and top_p.

    Args:
        logits: ... K.
        uniforms: ..., in [0, 1).
        temperature: see :class:`AncestralSampler`.
        top_k: see :class:`AncestralSampler`.
        top_p: see :class:`AncestralSampler`.

    Returns:
        int64, ...
    """
    logits = logits.double() / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        kth = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    probabilities = logits.softmax(-1)
    if top_p is not None and top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= top_p)
        probabilities = probabilities.masked_fill(dropped, 0)
    cumulative = probabilities.cumsum(-1)
    total = cumulative[..., -1:]
    # below the total even after rounding, so that the last code is not drawn where its probability is zero
    target = torch.minimum(uniforms.unsqueeze(-1) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1)
