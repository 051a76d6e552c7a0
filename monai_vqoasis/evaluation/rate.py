"""How many bits a slice costs, and what image codecs do with as many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation.codec_comparison import Curve, Rival, compare_at_bytes, measure, measure_curve
from monai_vqoasis.evaluation.codec_display import budget_metrics, budget_tables, budget_text, plot_rates, show_rivals
from monai_vqoasis.evaluation.section import Picture, Section, Table
from monai_vqoasis.evaluation.slices import SliceSet, check_belongs, evenly_spread
from monai_vqoasis.metrics import Estimate, estimate_mean
from monai_vqoasis.metrics.codecs import CODECS, header_bytes, unsupported_codec

__all__ = ["RateSection"]

CURVE_SLICES = 16


class RateSection:
    """Bits of the codes, raw and under the prior, and image codecs at the same number of bytes for each slice.

    Args:
        slices: originals, N.
        reconstructions: the same slices through the codes.
        num_embeddings: number of codes K.
        latent_shape: grid (h, w) that holds a slice.
        bits_per_slice: N, bits that each slice's grid costs under the prior; None without a prior.
        codecs: out of ``CODECS``; one that this Pillow cannot write is left out, with a warning.
        max_slices: slices to try codecs on, evenly spread over the people; None for all. Intervals are over people:
            more slices of each hardly narrow them.

    Raises:
        InputError: for reconstructions or bits that do not fit the slices, or an unknown codec.
    """

    def __init__(
        self,
        slices: SliceSet,
        reconstructions: SliceSet,
        num_embeddings: int,
        latent_shape: Sequence[int],
        bits_per_slice: torch.Tensor | None = None,
        codecs: Sequence[str] = tuple(CODECS),
        max_slices: int | None = 36,
    ) -> None:
        check_belongs(reconstructions, slices)
        if bits_per_slice is not None:
            bits_per_slice = torch.as_tensor(bits_per_slice).double().cpu()
            if bits_per_slice.shape != (len(slices),) or not bits_per_slice.isfinite().all():
                raise InputError(
                    f"bits_per_slice must be {len(slices)} finite numbers, one a slice, "
                    f"got shape {tuple(bits_per_slice.shape)}."
                )
        reasons = {codec: unsupported_codec(codec) for codec in codecs}
        self.slices = slices
        self.reconstructions = reconstructions
        self.num_embeddings = num_embeddings
        self.latent_shape = tuple(latent_shape)
        self.bits_per_slice = bits_per_slice
        self.codecs = [codec for codec, reason in reasons.items() if reason is None]
        self.warnings = [reason for reason in reasons.values() if reason is not None]
        self.max_slices = max_slices

    def __call__(self) -> Section:
        warnings = list(self.warnings)
        if self.bits_per_slice is None:
            warnings.append("No prior was given: only the raw bits are known, which no entropy coder has shortened.")
        rates = self._rates()
        chosen = evenly_spread(len(self.slices), self.max_slices)
        slices, ours = self.slices.subset(chosen), self.reconstructions.subset(chosen)
        scores = measure(ours.pixels, slices)
        budgets = self._budgets(chosen)
        rivals: dict[str, list[Rival]] = {name: [] for name in budgets}
        for codec in self.codecs:
            for name, pair in compare_at_bytes(slices, codec, budgets).items():
                rivals[name] += pair
        drawn = evenly_spread(len(slices), CURVE_SLICES)
        curves = [measure_curve(slices.subset(drawn), codec) for codec in self.codecs]
        people = len(set(slices.cases))
        tables = [self._bits_table(rates)]
        for name, budget in budgets.items():
            tables += budget_tables(name, budget, scores, rivals[name], slices.cases)
        return Section(
            name="rate",
            title="Rate: bits, and image codecs at equal bytes",
            text=[
                f"A slice of {' x '.join(map(str, self.slices.pixels.shape[2:]))} pixels is a grid of "
                f"{' x '.join(map(str, self.latent_shape))} codes out of {self.num_embeddings}. The decoder, which the "
                "learned code needs and which was trained on such slices, is not counted. Under the prior a slice "
                "costs -log2 p(codes), which an arithmetic coder reaches to within a few bits.",
                f"Codecs were tried on {len(slices)} slices of {people} people, evenly spread: for each slice the best "
                "quality whose file is not larger than the learned code of that slice. The codes have no header, "
                "and of a file of this size much is header ("
                + ", ".join(f"{CODECS[codec]} {header_bytes(codec)} bytes" for codec in self.codecs)
                + " for a constant picture): codecs are therefore also shown with their header free of charge.",
                "Where a codec's steps miss black by a few grey levels, the eye hardly sees it but SSIM over the "
                "whole slice falls far, since most of it is black: inside the brain the comparison is the fairer one.",
                *(budget_text(name, budget, scores, rivals[name], slices.cases) for name, budget in budgets.items()),
            ],
            warnings=warnings,
            tables=tables,
            pictures=self._pictures(slices, ours, scores, rivals, curves, budgets, drawn),
            metrics={
                **rates,
                "slices_compared": len(slices),
                "header_bytes": {codec: header_bytes(codec) for codec in self.codecs},
                **{
                    f"at_{name}_bytes": budget_metrics(b, scores, rivals[name], slices.cases)
                    for name, b in budgets.items()
                },
                "curves": {
                    curve.codec: {"quality": curve.qualities, "num_bytes": curve.num_bytes, **curve.means}
                    for curve in curves
                },
            },
            per_slice={} if self.bits_per_slice is None else {"prior_bits": self.bits_per_slice.tolist()},
        )

    def _rates(self) -> dict[str, Mapping[str, float | Estimate]]:
        """Bits a code, a slice and a pixel, and bytes a slice: raw and under the prior."""
        codes, pixels = math.prod(self.latent_shape), math.prod(self.slices.pixels.shape[2:])
        units = {"bits_per_code": codes, "bits_per_slice": 1, "bytes_per_slice": 8, "bits_per_pixel": pixels}
        raw = codes * math.log2(self.num_embeddings)
        rates: dict[str, Mapping[str, float | Estimate]] = {"raw": {name: raw / size for name, size in units.items()}}
        if self.bits_per_slice is not None:
            bits = self.bits_per_slice
            rates["prior"] = {name: estimate_mean(bits / size, self.slices.cases) for name, size in units.items()}
        return rates

    def _bits_table(self, rates: Mapping[str, Mapping[str, float | Estimate]]) -> Table:
        names = {"raw": "raw, no prior", "prior": "coded with the prior"}
        return Table(
            f"What a slice costs; under the prior the mean over {len(self.slices)} slices of "
            f"{len(set(self.slices.cases))} people.",
            ["", "bits a code", "bits a slice", "bytes a slice", "bits a pixel"],
            [[names[name], *rate.values()] for name, rate in rates.items()],
        )

    def _budgets(self, chosen: Sequence[int]) -> dict[str, torch.Tensor]:
        """Whole bytes of each chosen slice: raw, and coded with the prior."""
        raw = math.ceil(math.prod(self.latent_shape) * math.log2(self.num_embeddings) / 8)
        budgets = {"raw": torch.full((len(chosen),), raw)}
        if self.bits_per_slice is not None:
            budgets["coded"] = (self.bits_per_slice[list(chosen)] / 8).ceil().long()
        return budgets

    def _pictures(
        self,
        slices: SliceSet,
        ours: SliceSet,
        scores: Mapping[str, torch.Tensor],
        rivals: Mapping[str, Sequence[Rival]],
        curves: Sequence[Curve],
        budgets: Mapping[str, torch.Tensor],
        drawn: Sequence[int],
    ) -> list[Picture]:
        points = {
            f"{name} bytes": (
                float(budget[drawn].double().mean()),
                {measure: float(values[drawn].nanmean()) for measure, values in scores.items()},
            )
            for name, budget in budgets.items()
        }
        index = len(slices) // 2
        pixels, rows = show_rivals(slices, ours, rivals, index)
        which = f"{slices.cases[index]}, slice {slices.slice_indices[index]}"
        return [
            Picture(
                f"Bytes against fidelity, means over {len(drawn)} of the slices. Solid: a codec's bytes without its "
                "header; dotted: its whole file.",
                plot_rates(curves, points),
            ),
            Picture(f"{which}, headers not counted; from the left, at the {'; at the '.join(rows)}.", pixels),
        ]
