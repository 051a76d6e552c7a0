"""What a slice is most like: the check for samples that copy the training slices."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tqdm import tqdm

from monai_vqoasis.errors import InputError

__all__ = ["Neighbours", "nearest_neighbours"]

CHUNK_VALUES = 2**25  # floats of one chunk of vectors: 128 MiB
CHUNK_ROWS = 4096
SPARE_CANDIDATES = 3


class Neighbours(NamedTuple):
    """Distances (float32, N k, ascending) and indices (int64, N k) of the nearest references."""

    distances: torch.Tensor
    indices: torch.Tensor


def nearest_neighbours(
    queries: torch.Tensor, references: torch.Tensor, k: int = 1, desc: str = "nearest neighbours"
) -> Neighbours:
    """The nearest references of each query by Euclidean distance.

    Matrix products find a few candidates more than ``k``; their distances are then taken without the products'
    rounding, so that a copy is at distance 0.

    Args:
        queries: N and any further dimensions, which are flattened; uint8 is converted a chunk at a time.
        references: M and the same dimensions.
        k: how many.
        desc: what the progress bar says.

    Raises:
        InputError: for vectors that do not fit together, or fewer than ``k`` references.
    """
    if queries.shape[1:] != references.shape[1:] or not 1 <= k <= len(references):
        raise InputError(
            f"queries {tuple(queries.shape)} and references {tuple(references.shape)} must have the same dimensions "
            f"after the first, and at least k = {k} references."
        )
    queries, references = queries.flatten(1), references.flatten(1)
    rows = max(1, min(CHUNK_ROWS, CHUNK_VALUES // max(1, queries.shape[1])))
    parts = [
        _nearest(chunk.float(), references, k, rows)
        for chunk in tqdm(queries.split(rows), desc=desc, unit="chunk", disable=None)
    ]
    return Neighbours(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _nearest(queries: torch.Tensor, references: torch.Tensor, k: int, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    candidates = min(k + SPARE_CANDIDATES, len(references))
    best = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(references), rows):
        chunk = references[start : start + rows].float()
        # Without the squared length of the query, which is the same for all of its references.
        squared = torch.addmm(chunk.square().sum(1), queries, chunk.T, alpha=-2)
        best = torch.cat([best, squared], 1)
        found = torch.arange(start, start + len(chunk)).expand(len(queries), -1)
        indices = torch.cat([indices, found], 1)
        best, order = best.topk(min(candidates, best.shape[1]), largest=False)
        indices = indices.gather(1, order)
    exact = torch.stack([(queries - references[column].float()).norm(dim=1) for column in indices.unbind(1)], 1)
    distances, order = exact.topk(k, largest=False)
    return distances, indices.gather(1, order)
