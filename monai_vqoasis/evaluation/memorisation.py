"""Whether samples copy the training slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from matplotlib.figure import Figure

from monai_vqoasis.evaluation.section import Picture, Table
from monai_vqoasis.evaluation.slices import SliceSet
from monai_vqoasis.metrics.neighbours import Neighbours, nearest_neighbours
from monai_vqoasis.visualize import picture_grid

__all__ = ["MIRRORED_AXIS", "Memorisation", "measure_memorisation"]

PERCENTILES = (1, 5, 50)
MIRRORED_AXIS = 2  # of pixels N 1 H W: the front of the head points along a row
LABELS = {"samples": "samples", "slices": "real slices", "reconstructions": "reconstructions"}
SPACES = {"pixels": "pixels (root mean square)", "features": "features (Euclidean)"}


class Memorisation(NamedTuple):
    """What :func:`measure_memorisation` returns: parts of a section."""

    table: Table
    pictures: list[Picture]
    metrics: Mapping[str, Mapping[str, float]]
    warnings: list[str]


def measure_memorisation(
    sets: Mapping[str, SliceSet],
    training_slices: SliceSet,
    features: Mapping[str, torch.Tensor],
    num_shown: int = 8,
) -> Memorisation:
    """Distance of each slice to the nearest training slice or mirror image of one, in pixels and in features.

    Mirror images count because training sees them too. It also sees slices shifted by a few pixels, which are not
    searched for.

    Real slices are of people that training never saw: a generator that has learned to draw new brains is as far from
    the training slices as they are, one that copies is nearer. Whatever went through the codes has lost noise and is
    nearer to everything; so that reconstructions of the real slices are the stricter measure, where they are given.

    Args:
        sets: "samples", "slices" (real) and, if there are any, "reconstructions" (of these slices).
        training_slices: what may have been copied.
        features: float, N F, of each of ``sets``, of "training", and of "mirrored", the training slices' mirror images.
        num_shown: how many of the nearest pairs are shown.
    """
    known = torch.cat([training_slices.pixels, training_slices.pixels.flip(MIRRORED_AXIS)])
    known_features = torch.cat([features["training"], features["mirrored"]])
    pixels = {
        name: nearest_neighbours(one.pixels, known, desc=f"nearest training slices: {LABELS[name]}")
        for name, one in sets.items()
    }
    scale = 255 * training_slices.pixels[0].numel() ** 0.5
    spaces = {
        "pixels": {name: Neighbours(found.distances / scale, found.indices) for name, found in pixels.items()},
        "features": {name: nearest_neighbours(features[name], known_features) for name in sets},
    }
    metrics = {space: _summary({name: n.distances[:, 0] for name, n in one.items()}) for space, one in spaces.items()}
    copies = int((pixels["samples"].distances == 0).sum())
    metrics["pixels"]["copies"] = copies
    warnings = [f"{copies} samples are a training slice or its mirror image, pixel for pixel."] if copies else []
    pictures = [
        Picture(
            "Distance to the nearest training slice. Samples to the left of the real slices, and of the "
            "reconstructions, are copies or nearly so.",
            _histograms(spaces),
        )
    ]
    for space, one in spaces.items():
        pictures.append(_nearest_pairs(space, sets["samples"], training_slices, one["samples"], num_shown))
    return Memorisation(_table(metrics, sets, training_slices), pictures, metrics, warnings)


def _summary(distances: Mapping[str, torch.Tensor]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for name, values in distances.items():
        for percentile in PERCENTILES:
            summary[f"{name}_percentile_{percentile}"] = float(values.double().quantile(percentile / 100))
    for name in distances:
        if name != "samples":
            nearer = distances["samples"] < summary[f"{name}_percentile_1"]
            summary[f"share_nearer_than_{name}_percentile_1"] = float(nearer.double().mean())
    return summary


def _table(metrics: Mapping[str, Mapping[str, float]], sets: Mapping[str, SliceSet], training: SliceSet) -> Table:
    rows = []
    for space, label in SPACES.items():
        for name in sets:
            row: list[str | float | None] = [f"{label}: {LABELS[name]}"]
            row += [metrics[space][f"{name}_percentile_{percentile}"] for percentile in PERCENTILES]
            share = metrics[space].get(f"share_nearer_than_{name}_percentile_1")
            rows.append([*row, None if share is None else f"{share:.1%}"])
    header = ["", *(f"percentile {p}" for p in PERCENTILES), "samples nearer than percentile 1"]
    return Table(
        f"Distance to the nearest of {len(training)} training slices of {len(set(training.cases))} people and their "
        "mirror images; shifts are not searched for. "
        "1 % of samples nearer than percentile 1 is what new brains would give.",
        header,
        rows,
    )


def _nearest_pairs(space: str, samples: SliceSet, training: SliceSet, found: Neighbours, number: int) -> Picture:
    distances, order = found.distances[:, 0].sort(stable=True)
    chosen = order[:number]
    nearest = found.indices[chosen, 0]
    mirrored, nearest = nearest >= len(training), nearest % len(training)
    which = ", ".join(
        f"{samples.cases[i]} and {training.cases[j]} slice {training.slice_indices[j]}{', mirrored' if flip else ''} "
        f"({distance:.4g})"
        for i, j, flip, distance in zip(
            chosen.tolist(), nearest.tolist(), mirrored.tolist(), distances[:number].tolist(), strict=True
        )
    )
    images = training.images(nearest)
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(MIRRORED_AXIS), images)
    rows = [list(samples.images(chosen)[:, 0]), list(images[:, 0])]
    return Picture(f"The nearest pairs in {space}, samples above, training slices below: {which}.", picture_grid(rows))


def _histograms(spaces: Mapping[str, Mapping[str, Neighbours]]) -> Figure:
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for axes, (space, one) in zip(figure.subplots(1, 2), spaces.items(), strict=True):
        low, high = (float(f(torch.cat([n.distances for n in one.values()]))) for f in (torch.amin, torch.amax))
        for name, found in one.items():
            axes.hist(found.distances[:, 0].numpy(), 40, (low, high), density=True, histtype="step", label=LABELS[name])
        axes.set_xlabel(SPACES[space])
        axes.set_yticks([])
    axes.legend(frameon=False)
    return figure
