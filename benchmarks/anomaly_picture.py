"""The README's picture of anomaly maps, by the bundle: drawn slices with a planted lesion, and what it finds.

    python benchmarks/anomaly_picture.py [--output_dir <folder>]

Rows: slice, reconstruction, heat map, label, planted lesion. Needs the extra ``benchmarks``; no data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from lesions import plant_lesion
from matplotlib import pyplot as plt
from PIL import Image
from trainings import run_bundle

LESIONS = {"bright": (11, 6), "dark": (14, 12), "ring": (17, 12), "ventricles_enlarged": (18, 12), "healthy": (22, 0)}
VIEWS = ("reconstruction", "heatmap", "anomaly")
ROWS = ("slice", "reconstruction", "heat map", "label", "planted")
SHOWN = np.s_[36:220, 52:204]  # what is coded, turned upright


def read(path: Path) -> np.ndarray:
    """Grey values in [0, 1], anterior on top."""
    return np.rot90(np.asarray(Image.open(path)) / 255)


def write_slices(folder: Path, seed: int) -> dict[str, np.ndarray]:
    """Draw a slice for each lesion and plant it: pictures in ``folder``, and the pixels that were changed."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    masks = {}
    for name, (slice_index, radius) in LESIONS.items():
        drawn = folder.parent / "drawn" / name
        run_bundle(["generate.json"], slice_index=slice_index, num_samples=1, seed=seed, output_dir=str(drawn))
        image = np.asarray(Image.open(next(drawn.glob("generated_seed_*.png"))), dtype=np.float32) / 255
        masks[name] = np.zeros(image.shape, dtype=bool)
        if name != "healthy":
            image, masks[name] = plant_lesion(image, name, radius, random)
        Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(folder / f"{name}.png")
    return masks


def draw(folder: Path, masks: dict[str, np.ndarray], path: Path) -> None:
    figure, axes = plt.subplots(len(ROWS), len(LESIONS), figsize=(1.5 * len(LESIONS), 1.75 * len(ROWS)))
    warm = matplotlib.colormaps["inferno"]
    for column, name in zip(axes.T, LESIONS, strict=True):
        image = read(folder / "slices" / f"{name}.png")[SHOWN]
        back, heat, label = (read(folder / view / f"{name}_{view}.png")[SHOWN] for view in VIEWS)
        grey = np.repeat(image[..., None], 3, axis=2)
        amount = heat[..., None]
        pictures = [image, back, (1 - amount) * grey + amount * warm(heat)[..., :3], image, image]
        for axis, picture in zip(column, pictures, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        for axis, mask, colour in (
            (column[3], label > 0, "#ff5533"),
            (column[4], np.rot90(masks[name])[SHOWN], "#33ccff"),
        ):
            shade = np.zeros((*mask.shape, 4))
            shade[mask] = matplotlib.colors.to_rgba(colour, 0.35)
            axis.imshow(shade)
            if mask.any():
                axis.contour(mask, [0.5], colors=[colour], linewidths=0.8)
        column[0].set_title(name.replace("_", "\n"), fontsize=8)
    for axis, name in zip(axes[:, 0], ROWS, strict=True):
        axis.set_ylabel(name, fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    command_line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_argument("--seed", type=int, default=0)
    command_line.add_argument("--output_dir", type=Path, default=Path("benchmark_anomaly_picture"))
    arguments = command_line.parse_args()
    folder = arguments.output_dir
    masks = write_slices(folder / "slices", arguments.seed)
    for view in VIEWS:
        run_bundle(["inference.json"], dataset_dir=str(folder / "slices"), view=view, output_dir=str(folder / view))
    draw(folder, masks, folder / "anomaly_picture.png")
    print(folder / "anomaly_picture.png")


if __name__ == "__main__":
    main()
