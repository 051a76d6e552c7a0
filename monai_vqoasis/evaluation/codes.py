"""What the book is used for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from monai.transforms import CenterSpatialCrop
from monai.utils import convert_to_tensor

from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics import brain_mask, codes_used, perplexity
from monai_vqoasis.networks import VectorQuantizedAutoencoder
from monai_vqoasis.visualize import picture_grid, to_rows

__all__ = ["CodeHistograms", "CodesSection", "book_usage", "brain_positions", "code_histograms", "decode_book"]

CONTEXT = 10  # codes along one side of the constant grid that a code is decoded in


class CodesSection:
    """Used codes and perplexity, everywhere and inside the brain, and the book to look at.

    Args:
        codes: int64, N h w, of all slices.
        slices: the slices that they are of.
        vqvae: whose codes they are.
    """

    def __init__(self, codes: torch.Tensor, slices: SliceSet, vqvae: VectorQuantizedAutoencoder) -> None:
        self.codes = codes
        self.slices = slices
        self.vqvae = vqvae

    def __call__(self) -> Section:
        book = self.vqvae.num_embeddings
        histograms = code_histograms(self.codes, self.slices, self.vqvae)
        metrics = book_usage(histograms)
        table = Table(
            f"Of {book} codes, over {len(self.slices)} slices. Perplexity is the number of equally used codes that "
            "would have the same entropy.",
            ["", "all positions", "inside the brain"],
            [
                ["codes used", metrics["codes_used"], metrics["codes_used_brain"]],
                ["perplexity", metrics["perplexity"], metrics["perplexity_brain"]],
                ["positions", *(int(histogram.sum()) for histogram in histograms)],
            ],
        )
        mosaic = decode_book(self.vqvae)[histograms.everywhere.argsort(descending=True)]
        return Section(
            name="codes",
            title="Codes",
            text=[
                "A position is inside the brain where at least half of its pixels are. Most positions of a slice are "
                "background, so that a few codes take a large share of all."
            ],
            tables=[table],
            pictures=[
                Picture("How often each code is used, from the most to the least used.", _usage(histograms)),
                Picture(
                    "The book, from the most to the least used code: each decoded in a grid of itself alone.",
                    picture_grid(to_rows(mosaic, columns=round(book**0.5))),
                ),
            ],
            metrics=metrics,
        )


class CodeHistograms(NamedTuple):
    """Counts of each code (int64, K), at all positions and at those inside the brain."""

    everywhere: torch.Tensor
    brain: torch.Tensor


def code_histograms(codes: torch.Tensor, slices: SliceSet, vqvae: VectorQuantizedAutoencoder) -> CodeHistograms:
    """Count the ``codes`` (int64, N h w) that ``vqvae`` made of ``slices``, or of their middle."""
    inside = codes[brain_positions(slices, vqvae, codes.shape[1:])]
    return CodeHistograms(*(torch.bincount(part.flatten(), minlength=vqvae.num_embeddings) for part in (codes, inside)))


def book_usage(histograms: CodeHistograms) -> dict[str, float]:
    """Codes used and perplexity, everywhere and inside the brain."""
    return {
        "num_embeddings": len(histograms.everywhere),
        "codes_used": codes_used(histograms.everywhere),
        "codes_used_brain": codes_used(histograms.brain),
        "perplexity": perplexity(histograms.everywhere),
        "perplexity_brain": perplexity(histograms.brain),
        "brain_share_of_positions": float(histograms.brain.sum() / histograms.everywhere.sum()),
    }


def brain_positions(
    slices: SliceSet,
    vqvae: VectorQuantizedAutoencoder,
    latent_shape: Sequence[int] | None = None,
    batch_size: int = 64,
) -> torch.Tensor:
    """Codes at least half of whose pixels are brain: bool, N h w; ``latent_shape`` as of :func:`code_slices`."""
    crop = CenterSpatialCrop(vqvae.image_size(latent_shape or vqvae.latent_shape(slices.pixels.shape[2:])))
    parts = []
    for start in range(0, len(slices), batch_size):
        mask = brain_mask(slices.images(slice(start, start + batch_size)))[:, 0].float()
        middle = convert_to_tensor(crop(mask), track_meta=False).unsqueeze(1)
        parts.append(F.avg_pool2d(vqvae.prepare(middle), vqvae.stride)[:, 0] >= 0.5)
    return torch.cat(parts)


@torch.no_grad()
def decode_book(vqvae: VectorQuantizedAutoencoder) -> torch.Tensor:
    """What each code stands for: the middle two by two codes of a grid of it alone, K 1 2s 2s, on the CPU.

    In the decoder's own pixels, before a field of view is brought back to its size.
    """
    device = next(vqvae.buffers()).device
    grids = torch.arange(vqvae.num_embeddings, device=device).view(-1, 1, 1).expand(-1, CONTEXT, CONTEXT)
    side, start = 2 * vqvae.stride, (CONTEXT // 2 - 1) * vqvae.stride
    images = torch.cat([vqvae.decoder(vqvae.quantizer.decode(part)) for part in grids.split(32)])
    return images[..., start : start + side, start : start + side].clamp(0, 1).cpu()


def _usage(histograms: CodeHistograms) -> Figure:
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.subplots()
    for histogram, label in zip(histograms, ("all positions", "inside the brain"), strict=True):
        share = histogram.sort(descending=True).values / histogram.sum().clamp_min(1)
        axes.step(range(1, len(share) + 1), share * 100, where="mid", label=label)
    axes.set_yscale("log")
    axes.set_xlabel("rank of the code")
    axes.set_ylabel("share of positions (%)")
    axes.legend(frameon=False)
    return figure
