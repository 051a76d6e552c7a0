"""How much of the codebook is in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from ignite.metrics import Metric, MetricsLambda
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.utils.enums import CommonKeys as Keys

__all__ = ["CodeHistogram", "codebook_metrics", "codes_used", "perplexity"]


def codes_used(histogram: torch.Tensor) -> int:
    """Number of codes that occur in ``histogram`` (counts, K)."""
    return int((histogram > 0).sum())


def perplexity(histogram: torch.Tensor) -> float:
    """Exponential of the entropy (nats) of ``histogram`` (counts, K): how many equally used codes it is worth.

    Between 1 (one code) and K (all alike); 0 for an empty histogram.
    """
    total = histogram.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(histogram.double() / total).sum().exp())


class CodeHistogram(Metric):
    """Counts of each code over an epoch, int64, K.

    Args:
        num_embeddings: number of codes K.
        output_transform: takes the codes (integers, any shape) out of the engine's output.
    """

    def __init__(self, num_embeddings: int, output_transform: Callable = lambda output: output) -> None:
        self.num_embeddings = num_embeddings
        super().__init__(output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        self._counts = torch.zeros(self.num_embeddings, dtype=torch.int64, device=self._device)

    @reinit__is_reduced
    def update(self, codes: torch.Tensor) -> None:
        counts = torch.bincount(codes.detach().reshape(-1), minlength=self.num_embeddings)
        self._counts += counts.to(self._counts.device)

    @sync_all_reduce("_counts")
    def compute(self) -> torch.Tensor:
        return self._counts


def codebook_metrics(num_embeddings: int) -> Mapping[str, Metric]:
    """Ignite metrics ``codes_used`` and ``perplexity`` of the codes that an engine saw in an epoch."""
    histogram = CodeHistogram(num_embeddings, _codes)
    return {
        "codes_used": MetricsLambda(codes_used, histogram),
        "perplexity": MetricsLambda(perplexity, histogram),
    }


def _codes(output: Mapping[str, object] | list[Mapping[str, object]]) -> torch.Tensor:
    """Codes of an evaluator's output, or of a trainer's, which is a list of one."""
    return (output[0] if isinstance(output, list) else output)[Keys.PRED].codes
