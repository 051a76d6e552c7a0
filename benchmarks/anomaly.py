"""Planted lesions found by the three anomaly methods, and by two that need no model.

Every person of a section gets lesions of all kinds and sizes, one a slice. Over the brain of those slices: pixel AUROC,
average precision, and Dice with the threshold that is best for the other people together. Means over people with 95 %
intervals.

    python benchmarks/anomaly.py --dataset_dir <dataset_dir> [--section test] [--ckpt_dir bundle/models]

Needs the extra ``benchmarks``. Writes results.json and a picture to the output folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lesions import KINDS, RADII, plant_lesion
from monai.bundle import ConfigParser
from monai.networks.layers import GaussianFilter
from sklearn.metrics import average_precision_score, roc_auc_score
from tqdm import tqdm
from trainings import CONFIGS

from monai_vqoasis.brain import brain_mask
from monai_vqoasis.evaluation import SliceSet, load_slices
from monai_vqoasis.inferers import ANOMALY_METHODS, AnomalyInferer, load_calibration
from monai_vqoasis.metrics import estimate_mean
from monai_vqoasis.networks import load_weights
from monai_vqoasis.visualize import save_picture_grid

BLUR = 4.0  # pixels
TRIES = 20
BATCH = 32


class Planted:
    """Slices with lesions: images and masks (N 1 H W), and whose, of which kind and radius each is."""

    def __init__(self, slices: SliceSet, seed: int) -> None:
        images, masks = [], []
        self.cases, self.kinds, self.radii = [], [], []
        pixels = slices.images()[:, 0].numpy()
        for case in sorted(set(slices.cases)):
            mine = [i for i, other in enumerate(slices.cases) if other == case]
            random = np.random.default_rng([seed, int(case.removeprefix("case_"))])
            for kind in KINDS:
                for radius in RADII:
                    tries = (plant_lesion(pixels[random.choice(mine)], kind, radius, random) for _ in range(TRIES))
                    if (lesion := next((t for t in tries if t is not None), None)) is not None:
                        images.append(lesion.image)
                        masks.append(lesion.mask)
                        self.cases.append(case)
                        self.kinds.append(kind)
                        self.radii.append(radius)
        self.images, self.masks = (torch.from_numpy(np.stack(v)).unsqueeze(1) for v in (images, masks))
        self.brain = brain_mask(self.images)
        self.masks &= self.brain


def score(maps: torch.Tensor, planted: Planted, which: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean over people of AUROC, average precision and Dice on the slices that ``which`` (bool, N) picks.

    Dice is NaN where they are of one person alone, whom no others give a threshold.
    """
    people = sorted({case for case, yes in zip(planted.cases, which, strict=True) if yes})
    pixels = {}
    for person in people:
        rows = [i for i in np.flatnonzero(which) if planted.cases[i] == person]
        inside = [planted.brain[i] for i in rows]
        pixels[person] = (
            [planted.masks[i][b].numpy() for i, b in zip(rows, inside, strict=True)],
            [maps[i][b].numpy() for i, b in zip(rows, inside, strict=True)],
        )
    joined = {person: tuple(np.concatenate(v) for v in pixels[person]) for person in people}
    candidates = np.quantile(np.concatenate([values for _, values in joined.values()]), 1 - np.geomspace(1e-3, 0.5, 80))
    # overlaps and sizes of each person at each threshold
    counts = {p: np.array([_counts(truth, values > t) for t in candidates]) for p, (truth, values) in joined.items()}
    everyone = sum(counts.values())
    columns: dict[str, list[float]] = {"auroc": [], "average_precision": [], "dice": []}
    for person in people:
        truth, values = joined[person]
        columns["auroc"].append(roc_auc_score(truth, values))
        columns["average_precision"].append(average_precision_score(truth, values))
        if len(people) < 2:
            columns["dice"].append(np.nan)
            continue
        others = everyone - counts[person]
        threshold = candidates[np.argmax(2 * others[:, 0] / others[:, 1])]
        slices = (_counts(t, v > threshold) for t, v in zip(*pixels[person], strict=True))
        columns["dice"].append(float(np.mean([2 * overlap / size for overlap, size in slices])))
    result = {}
    for name, values in columns.items():
        estimate = estimate_mean(torch.tensor(values), people)
        result[name] = {"mean": estimate.value, "low": estimate.low, "high": estimate.high}
    return result


def _counts(truth: np.ndarray, found: np.ndarray) -> tuple[int, int]:
    return int((truth & found).sum()), int(truth.sum() + found.sum())


def main() -> None:
    command_line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_argument("--dataset_dir", type=Path, default=CONFIGS.parent / "data" / "demo_cohort")
    command_line.add_argument("--section", default="test")
    command_line.add_argument("--ckpt_dir", type=Path, default=CONFIGS.parent / "models")
    command_line.add_argument("--seed", type=int, default=0)
    command_line.add_argument("--num_restorations", type=int, default=4)
    command_line.add_argument("--output_dir", type=Path, default=Path("benchmark_anomaly"))
    arguments = command_line.parse_args()

    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "inference.json"))
    vqvae = load_weights(parser.get_parsed_content("network_def"), arguments.ckpt_dir / "model.pt")
    prior = load_weights(parser.get_parsed_content("prior_def"), arguments.ckpt_dir / "model_prior.pt")
    calibration = load_calibration(arguments.ckpt_dir / "calibration.pt")
    planted = Planted(load_slices(arguments.dataset_dir, arguments.section), arguments.seed)

    blur = GaussianFilter(2, BLUR)
    maps: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "dark": lambda image: 1 - image,
        "bright": lambda image: image,
        "residual of a blur": lambda image: (image - blur(image)).abs(),
    }
    for method in ANOMALY_METHODS:
        inferer = AnomalyInferer(method, calibration, prior, num_restorations=arguments.num_restorations)
        maps[method] = lambda image, inferer=inferer: inferer(image, vqvae)
    groups = {"all": np.ones(len(planted.cases), dtype=bool)}
    groups |= {f"radius {radius}": np.array(planted.radii) == radius for radius in RADII}
    groups |= {kind: np.array(planted.kinds) == kind for kind in KINDS}

    results: dict[str, dict[str, object]] = {}
    shown = [list(zip(planted.kinds, planted.radii, strict=True)).index((kind, RADII[-1])) for kind in KINDS]
    rows = [[planted.images[i, 0] for i in shown], [planted.masks[i, 0].float() for i in shown]]
    print(f"{len(planted.cases)} lesions in {len(set(planted.cases))} people; AUROC / average precision / Dice")
    for name, function in maps.items():
        batches = tqdm(planted.images.split(BATCH), desc=name, unit="batch", disable=None)
        found = torch.cat([function(batch) for batch in batches])
        results[name] = {group: score(found, planted, which) for group, which in groups.items()}
        white = 2 * calibration.threshold(name) if name in ANOMALY_METHODS else 1
        rows.append([found[i, 0] / white for i in shown])
        for group, columns in results[name].items():
            cells = [f"{v['mean']:.3f} [{v['low']:.3f}, {v['high']:.3f}]" for v in columns.values()]
            print(f"{name:>20} {group:>20}  " + "  ".join(cells), flush=True)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    (arguments.output_dir / "results.json").write_text(json.dumps(results, indent=4) + "\n")
    save_picture_grid(rows, arguments.output_dir / "maps.png")


if __name__ == "__main__":
    main()
