"""What the benchmarks that train have in common: the bundle's configs with other settings, and a table of results."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from monai.bundle import ConfigWorkflow

from monai_vqoasis.errors import InputError
from monai_vqoasis.evaluation import SliceSet, slice_fidelity
from monai_vqoasis.metrics import EfficientNetLiteFeatures, estimate_mean, extract_features, kernel_distance

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
NOT_OF_A_TRAINING = ("entries", "weight", "output_dir", "device")
SHIPPED_VQVAE = json.loads((CONFIGS / "train.json").read_text())["network_def"]


def parse_arguments(
    description: str | None, entries: Iterable[str], default: Sequence[str], epochs: int
) -> argparse.Namespace:
    """Command line of a benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="slices; without it the demo cohort")
    parser.add_argument("--entries", nargs="+", choices=list(entries), default=list(default))
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--amp", action="store_true", help="train in mixed precision")
    parser.add_argument("--output_dir", type=Path, default=Path(f"benchmark_{Path(sys.argv[0]).stem}"))
    parser.add_argument("--set", dest="settings", type=json.loads, default={}, help="further settings, JSON")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    return parser.parse_args()


Entries = Mapping[str, tuple[list[str], dict[str, object]]]
"""Name of each entry: the bundle's configs, and what is set otherwise than in them."""


def run_entries(
    entries: Entries,
    columns: Sequence[str],
    measure: Callable[[str, Path, argparse.Namespace], dict[str, object]],
    arguments: argparse.Namespace,
) -> None:
    """Train and measure the entries asked for that have no result yet, and show all results after each.

    Raises:
        InputError: if an entry's folder holds a training of other data or settings.
    """
    for name in arguments.entries:
        folder = arguments.output_dir / name
        claim(folder, arguments)
        if wanting(folder):
            train(*entries[name], folder, arguments)
            keep(measure(name, folder, arguments), folder, arguments)
        show(entries, columns, arguments)


def train(configs: Sequence[str], settings: Mapping[str, object], folder: Path, arguments: argparse.Namespace) -> None:
    """Train with the bundle's ``configs`` in ``folder``, or train on.

    Raises:
        KeyboardInterrupt: on Ctrl-C, once the state is saved.
    """
    given = {"dataset_dir": str(arguments.dataset_dir)} if arguments.dataset_dir else {}
    workflow = run_bundle(
        configs,
        workflow_type="train",
        **{**settings, **arguments.settings},
        **given,
        ckpt_dir=str(folder),
        output_dir=str(folder),
        max_epochs=arguments.epochs,
        seed=arguments.seed,
        amp=arguments.amp,
        resume=any(folder.glob("checkpoint*.pt")),
    )
    if workflow.parser.get_parsed_content("train::trainer").state.interrupted:
        raise KeyboardInterrupt


def run_bundle(configs: Sequence[str], **settings: object) -> ConfigWorkflow:
    """Run the bundle's ``configs`` with these settings, as ``python -m monai.bundle run`` does."""
    workflow = ConfigWorkflow([str(CONFIGS / config) for config in configs], logging_file=False, **settings)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def quality(slices: SliceSet, reconstructions: SliceSet) -> dict[str, float]:
    """Means of PSNR, SSIM and PSNR in the brain of at least 100 slices, and the KID of their reconstructions."""
    columns, _ = slice_fidelity(slices, reconstructions)
    features = [extract_features(one.pixels, EfficientNetLiteFeatures()) for one in (reconstructions, slices)]
    return {
        **{metric: estimate_mean(columns[metric], slices.cases).value for metric in ("psnr", "ssim", "psnr_brain")},
        "kid": kernel_distance(*features).mean,
    }


def claim(folder: Path, arguments: argparse.Namespace) -> None:
    """Make a folder that of a training with these arguments.

    Raises:
        InputError: if it is that of another.
    """
    given = {name: value for name, value in vars(arguments).items() if name not in NOT_OF_A_TRAINING}
    given["dataset_dir"] = str(arguments.dataset_dir.resolve()) if arguments.dataset_dir else None
    path = folder / "arguments.json"
    if path.is_file() and (before := json.loads(path.read_text())) != given:
        differing = ", ".join(name for name in given if given[name] != before.get(name))
        raise InputError(f"{path}: is of a training with another {differing}; name another --output_dir.")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(given, indent=4) + "\n")


def wanting(folder: Path) -> bool:
    """Whether a folder has no result."""
    return not (folder / "result.json").is_file()


def curve(folder: Path, metric: str) -> dict[str, object]:
    """A validation metric after each epoch (None where there was no validation), and how long all epochs took."""
    epochs = list(csv.DictReader((folder / "metrics.csv").open()))
    values = [row[f"validate_{metric}"] for row in epochs]
    return {
        "seconds": sum(float(row["seconds"]) for row in epochs),
        "epochs": len(epochs),
        f"{metric}_by_epoch": [float(value) if value else None for value in values],
    }


def keep(result: Mapping[str, object], folder: Path, arguments: argparse.Namespace) -> None:
    """Write the result of an entry beside its weights."""
    conditions = {"max_epochs": arguments.epochs, "threads": torch.get_num_threads(), "amp": arguments.amp}
    (folder / "result.json").write_text(json.dumps({**result, **conditions}, indent=4) + "\n")


def show(entries: Iterable[str], columns: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print the results that there are as a table, and write them to ``results.json``."""
    files = {name: arguments.output_dir / name / "result.json" for name in entries}
    results = {name: json.loads(path.read_text()) for name, path in files.items() if path.is_file()}
    (arguments.output_dir / "results.json").write_text(json.dumps(results, indent=4) + "\n")
    print(f"{'entry':>24}" + "".join(f"{column:>18}" for column in columns))
    for name, row in results.items():
        print(f"{name:>24}" + "".join(f"{row.get(column, math.nan):>18.4g}" for column in columns))
