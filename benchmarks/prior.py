"""Stage 2 against the original's PixelCNN on the same frozen codes and with the same budget of epochs.

Each entry is the bundle's train_prior.json with other settings. What counts is the best epoch on the validation
section, in nats per code and without conditions; ``nats_given_slice`` is told the slice index.

    python benchmarks/prior.py [--dataset_dir <dataset_dir>] [--epochs 24] [--set '{"vqvae_path": "model.pt"}']

The codes are those of ``bundle/models/model.pt`` unless ``--set`` names another file.

Stopped, it goes on where it was when the command is given again.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from trainings import CONFIGS, SHIPPED_VQVAE, Entries, curve, parse_arguments, run_entries

from monai_vqoasis.inferers import bits_per_code
from monai_vqoasis.networks import load_weights

PIXELCNN = {"network_def": {"_target_": "monai_vqoasis.networks.PixelCNN"}}

ENTRIES: Entries = {
    "ours": (["train_prior.json"], {}),
    # on this project's codes, at the middle one of the original's rates
    "original": (
        ["train_prior.json", "original_prior.json"],
        {
            "vqvae_def": SHIPPED_VQVAE,
            "roi_size": SHIPPED_VQVAE["field_of_view"],
            "learning_rate_index": 1,
            "early_stopping_patience": 5,
        },
    ),
    "original_our_training": (["train_prior.json"], PIXELCNN),
}
COLUMNS = ("nats_per_code", "nats_given_slice", "best_epoch", "parameters", "epochs", "seconds")


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """The best weights of an entry on the validation section."""
    parser = ConfigParser()
    configs, settings = ENTRIES[name]
    parser.read_config([str(CONFIGS / config) for config in configs])
    parser.update({**settings, **arguments.settings, "device": "cpu"})
    if arguments.dataset_dir:
        parser["dataset_dir"] = str(arguments.dataset_dir)
    prior = load_weights(parser.get_parsed_content("network_def"), folder / "model_prior.pt")
    items = parser.get_parsed_content("validate::dataset")
    codes = torch.stack([item["codes"] for item in items])
    index = torch.tensor([item["slice_index"] for item in items])
    known = {"slice_index": index} if "slice_index" in prior.condition_values else {}
    history = curve(folder, "nats_per_code")
    by_epoch = [math.inf if nats is None else nats for nats in history["nats_per_code_by_epoch"]]
    return {
        "nats_per_code": bits_per_code(prior, codes).mean().item() * math.log(2),
        "nats_given_slice": bits_per_code(prior, codes, conditions=known).mean().item() * math.log(2),
        "best_epoch": 1 + by_epoch.index(min(by_epoch)),
        "parameters": sum(p.numel() for p in prior.parameters()),
        **history,
    }


def main() -> None:
    arguments = parse_arguments(__doc__, ENTRIES, ["ours", "original"], epochs=24)
    arguments.settings = {"vqvae_path": str(CONFIGS.parent / "models" / "model.pt"), **arguments.settings}
    run_entries(ENTRIES, COLUMNS, measure, arguments)


if __name__ == "__main__":
    main()
