"""The learned code and image codecs at equal bytes: sentences, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from monai_vqoasis.evaluation.codec_comparison import MEASURES, Curve, Rival
from monai_vqoasis.evaluation.section import Table
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics import estimate_mean
from monai_vqoasis.metrics.codecs import CODECS, header_bytes
from monai_vqoasis.visualize import picture_grid

__all__ = ["budget_metrics", "budget_tables", "budget_text", "plot_rates", "show_rivals"]

# With fewer people an interval over people says nothing.
FEWEST_PEOPLE = 5
# Okabe and Ito's colours, told apart with any colour vision.
COLOURS = {"jpeg": "#E69F00", "webp": "#56B4E9", "jpeg2000": "#009E73", "avif": "#CC79A7"}

Scores = Mapping[str, torch.Tensor]


def budget_text(name: str, budget: torch.Tensor, ours: Scores, rivals: Sequence[Rival], cases: Sequence[str]) -> str:
    """Where the learned code wins at one size and where not, as the intervals of the paired differences say.

    Args:
        name: of the size, "raw" or "coded".
        budget: bytes of each slice, N.
        ours: our measures, N each.
        rivals: the codecs within that budget.
        cases: whose each slice is.
    """
    size = f"At the {name} size, {_bytes(budget)} a slice"
    sentences = []
    for whole_file, counted in ((False, "the codecs' headers free of charge"), (True, "their whole files counted")):
        verdicts: dict[str, list[str]] = {}
        for rival in rivals:
            if rival.whole_file == whole_file:
                verdicts.setdefault(_verdict(rival, ours, cases), []).append(CODECS[rival.codec])
        if verdicts:
            sentences.append(f"{size} and {counted}, the learned code against image codecs: ")
            sentences[-1] += "; ".join(f"{_list(names)}: {verdict}" for verdict, names in verdicts.items()) + "."
    return " ".join(sentences) or f"{size}, there was no codec to compare with."


def budget_tables(
    name: str, budget: torch.Tensor, ours: Scores, rivals: Sequence[Rival], cases: Sequence[str]
) -> list[Table]:
    """Fidelity of all at one size, and paired differences; arguments as for :func:`budget_text`."""
    count = len(budget)
    learned = [estimate_mean(ours[measure], cases) for measure in MEASURES]
    fidelity = [["learned code", f"{count} of {count}", float(budget.double().mean()), *learned]]
    differences = []
    for rival in rivals:
        reached = int(rival.reached.sum())
        mean_bytes = float(rival.num_bytes[rival.reached].double().mean()) if reached else None
        fidelity.append([rival.label, f"{reached} of {count}", mean_bytes, *rival.means(cases).values()])
        differences.append([rival.label, f"{reached} of {count}", *rival.lead(ours, cases).values()])
    size = f"{name} size ({_bytes(budget)} a slice)"
    tables = [
        Table(
            f"At the {size}: each slice at the best quality that fits; means over the slices that a codec gets down to "
            "that size, which are the easier ones where they are not all.",
            ["", "slices", "bytes used", *MEASURES.values()],
            fidelity,
        )
    ]
    if differences:
        tables.append(
            Table(
                f"At the {size}: the learned code less the codec, slice by slice, on the slices that the codec gets "
                "down to that size. Above zero the learned code is better.",
                ["learned code less", "slices", *MEASURES.values()],
                differences,
            )
        )
    return tables


def budget_metrics(
    budget: torch.Tensor, ours: Scores, rivals: Sequence[Rival], cases: Sequence[str]
) -> dict[str, object]:
    """The numbers of :func:`budget_tables`, for ``metrics.json``."""
    metrics: dict[str, object] = {
        "max_bytes": float(budget.double().mean()),
        "learned": {measure: estimate_mean(ours[measure], cases) for measure in MEASURES},
    }
    for rival in rivals:
        metrics.setdefault(rival.codec, {})["whole_file" if rival.whole_file else "without_header"] = {
            "reached": int(rival.reached.sum()),
            **rival.means(cases),
            "learned_less_codec": rival.lead(ours, cases),
        }
    return metrics


def _verdict(rival: Rival, ours: Scores, cases: Sequence[str]) -> str:
    """In which measures we lead, as far as the intervals say so."""
    reached, people = int(rival.reached.sum()), rival.people(cases)
    if not reached:
        return "no slice gets that small"
    share = (
        "" if reached == len(rival.reached) else f" on the {reached} of {len(rival.reached)} slices that get so small"
    )
    if people < FEWEST_PEOPLE:
        return f"too few people to say ({people}){share}"
    groups: dict[str, list[str]] = {}
    for measure, lead in rival.lead(ours, cases).items():
        where = "ahead" if lead and lead.low > 0 else "behind" if lead and lead.high < 0 else "undecided"
        groups.setdefault(where, []).append(MEASURES[measure].replace(" (dB)", ""))
    clauses = [
        f"{where} in {'every measure' if len(names) == len(MEASURES) else _list(names)}"
        for where, names in sorted(groups.items())
    ]
    return ", ".join(clauses) + share


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _bytes(budget: torch.Tensor) -> str:
    low, high = int(budget.min()), int(budget.max())
    return f"{low:,} bytes" if low == high else f"{low:,} to {high:,} bytes"


def plot_rates(curves: Sequence[Curve], ours: Mapping[str, tuple[float, Mapping[str, float]]]) -> Figure:
    """Bytes a slice against PSNR, SSIM and SSIM inside the brain.

    Args:
        curves: the codecs'.
        ours: our points, label: (bytes, means of ``MEASURES``).
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), ("psnr", "ssim", "ssim_brain"), strict=True):
        for curve in curves:
            line = {"color": COLOURS[curve.codec], "linewidth": 1.5}
            header = header_bytes(curve.codec)
            values = curve.means[name]
            seen = [(n - header, v) for n, v in zip(curve.num_bytes, values, strict=True) if n - header >= 1]
            axes.plot(*zip(*seen, strict=True), marker=".", label=f"{CODECS[curve.codec]}, without header", **line)
            axes.plot(curve.num_bytes, values, linestyle=":", label=f"{CODECS[curve.codec]}, whole file", **line)
        for marker, (label, (num_bytes, means)) in zip("so", ours.items(), strict=False):
            axes.plot(num_bytes, means[name], marker, color="black", label=f"learned code, {label}", zorder=3)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("bytes a slice")
        axes.set_ylabel(MEASURES[name])
        axes.grid(alpha=0.3, linewidth=0.5)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=7, frameon=False)
    return figure


def show_rivals(
    slices: SliceSet, reconstructions: SliceSet, rivals: Mapping[str, Sequence[Rival]], index: int
) -> tuple[np.ndarray, list[str]]:
    """One slice, ours and each codec's without header, a row for each budget; and what each row holds, in words."""
    rows, captions = [], []
    for name, group in rivals.items():
        shown = [rival for rival in group if not rival.whole_file]
        pictures = [slices.pixels[index], reconstructions.pixels[index], *(rival.decoded[index] for rival in shown)]
        rows.append([picture[0].float() / 255 for picture in pictures])
        codecs = [
            f"{CODECS[rival.codec]} ({int(rival.num_bytes[index]):,} bytes"
            f"{'' if rival.reached[index] else ', its smallest'})"
            for rival in shown
        ]
        captions.append(f"{name} size: {', '.join(['slice', 'learned code', *codecs])}")
    return picture_grid(rows), captions
