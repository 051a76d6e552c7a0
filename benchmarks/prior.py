"""Stage 2 against the original's PixelCNN on the same frozen codes and with the same budget of epochs.

Each entry is the bundle's train_prior.json with other settings. What counts is the best epoch on the validation
section, in nats per code and without conditions; ``nats_given_slice`` is told the slice index.

    python benchmarks/prior.py [--dataset_dir <dataset_dir>] [--epochs 16] [--set '{"vqvae_path": "model.pt"}']

The codes are those of ``bundle/models/model.pt`` unless ``--set`` names another file.

Stopped, it goes on where it was when the command is given again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from trainings import CONFIGS, curve, keep, parse_arguments, show, train, wanting

from monai_vqoasis.inferers import bits_per_code
from monai_vqoasis.networks import load_weights

PIXELCNN = {"network_def": {"_target_": "monai_vqoasis.networks.PixelCNN"}}

# name: what is set otherwise than in train_prior.json
ENTRIES: Mapping[str, dict[str, object]] = {
    "ours": {},
    # Adam at the middle one of the original's rates, on the slices as they are
    "original": {
        **PIXELCNN,
        "learning_rate": 3e-4,
        "batch_size": 32,
        "weight_decay": 0.0,
        "cosine_decay": False,
        "max_grad_norm": None,
        "num_variants": 1,
        "max_shift": 0,
        "mirror_prob": 0.0,
    },
    "original_our_training": PIXELCNN,
}
COLUMNS = ("nats_per_code", "nats_given_slice", "best_epoch", "parameters", "epochs", "seconds")


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """The best weights of an entry on the validation section."""
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train_prior.json"))
    parser.update({**ENTRIES[name], **arguments.settings, "roi_size": arguments.roi_size, "device": "cpu"})
    if arguments.dataset_dir:
        parser["dataset_dir"] = str(arguments.dataset_dir)
    prior = load_weights(parser.get_parsed_content("network_def"), folder / "model_prior.pt")
    items = parser.get_parsed_content("validate::dataset")
    codes = torch.stack([item["codes"] for item in items])
    index = torch.tensor([item["slice_index"] for item in items])
    known = {"slice_index": index} if "slice_index" in prior.condition_values else {}
    history = curve(folder, "nats_per_code")
    by_epoch = history["nats_per_code_by_epoch"]
    return {
        "nats_per_code": bits_per_code(prior, codes).mean().item() * math.log(2),
        "nats_given_slice": bits_per_code(prior, codes, conditions=known).mean().item() * math.log(2),
        "best_epoch": 1 + by_epoch.index(min(by_epoch)),
        "parameters": sum(p.numel() for p in prior.parameters()),
        **history,
    }


def main() -> None:
    arguments = parse_arguments(__doc__, ENTRIES, ["ours", "original"], epochs=16)
    arguments.settings = {"vqvae_path": str(CONFIGS.parent / "models" / "model.pt"), **arguments.settings}
    for name in arguments.entries:
        folder = arguments.output_dir / name
        if wanting(folder, arguments):
            train(["train_prior.json"], ENTRIES[name], folder, arguments)
            keep(measure(name, folder, arguments), folder, arguments)
        show(ENTRIES, COLUMNS, arguments)


if __name__ == "__main__":
    main()
