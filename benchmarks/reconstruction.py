"""Stage 1 against its peers at equal bits (32x32 codes of 256) and equal budget: data, epochs, batches, seed.

Each entry is the bundle's train.json with other settings, so that all go through the same loader, loop and metrics.
What counts is the best epoch on the validation section.

    python benchmarks/reconstruction.py [--dataset_dir <dataset_dir>] [--epochs 20] [--entries ours original]

Needs the extra ``benchmarks``. Stopped, it goes on where it was when the command is given again.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch.utils.flop_counter import FlopCounterMode

from monai_vqoasis.evaluation import book_usage, code_histograms, code_slices, load_slices, slice_fidelity
from monai_vqoasis.networks import load_weights

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
EQUAL_BITS = {"num_embeddings": 256, "embedding_dim": 64}
RESIDUAL = {
    "_target_": "monai_vqoasis.networks.ResidualVQVAE",
    "num_embeddings": 256,
    "embedding_dim": 16,
}
OURS = {"learning_rate": 2e-3, "cosine_decay": True, "warmup_steps": 50}
SMALL = {"channels": [32, 64, 128], "num_res_layers": 1, "num_res_channels": [32, 64, 128]}

# name: (configs, what is set otherwise than in them)
ENTRIES: Mapping[str, tuple[list[str], dict[str, object]]] = {
    "ours": (["train.json"], {"vqvae_def": RESIDUAL, **OURS}),
    "original": (["train.json", "original.json"], {}),
    "original_corrected_book": (["train.json"], {}),
    "vector_quantize_pytorch": (
        ["train.json"],
        {
            "vqvae_def": RESIDUAL
            | {
                "_target_": "peers.LucidrainsVQVAE",
                "quantizer_kwargs": {
                    "decay": 0.99,
                    "kmeans_init": True,
                    "threshold_ema_dead_code": 2,
                    "commitment_weight": 0.25,
                },
            },
            **OURS,
        },
    ),
    "monai_tuned": (
        ["train.json"],
        {"vqvae_def": {"_target_": "peers.MONAIVQVAE", **EQUAL_BITS, **SMALL, "decay": 0.8}, **OURS},
    ),
    "monai_defaults": (["train.json"], {"vqvae_def": {"_target_": "peers.MONAIVQVAE", **EQUAL_BITS}}),
}
COLUMNS = ("psnr", "ssim", "psnr_brain", "codes_used", "perplexity", "perplexity_brain", "gmac", "seconds")


def train(name: str, arguments: argparse.Namespace) -> Path:
    """Train an entry, or train it on, and return its folder."""
    configs, settings = ENTRIES[name]
    folder = arguments.output_dir / name
    workflow = ConfigWorkflow(
        [str(CONFIGS / config) for config in configs],
        logging_file=False,
        workflow_type="train",
        **settings,
        **({"dataset_dir": str(arguments.dataset_dir)} if arguments.dataset_dir else {}),
        ckpt_dir=str(folder),
        output_dir=str(folder),
        max_epochs=arguments.epochs,
        roi_size=arguments.roi_size,
        seed=arguments.seed,
        resume=(folder / "checkpoint.pt").is_file(),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return folder


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """The best weights of an entry on the validation section."""
    configs, settings = ENTRIES[name]
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / config) for config in configs])
    parser.update(settings)
    network = load_weights(parser.get_parsed_content("vqvae_def"), folder / "model.pt")
    slices = load_slices(arguments.dataset_dir or CONFIGS.parent / "data" / "demo_cohort", "validate")
    reconstructions, codes = code_slices(network, slices)
    columns, _ = slice_fidelity(slices, reconstructions)
    used = book_usage(code_histograms(codes, slices, network))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 1, 256, 256))
    epochs = list(csv.DictReader((folder / "metrics.csv").open()))
    return {
        **{metric: float(columns[metric].mean()) for metric in ("psnr", "ssim", "psnr_brain")},
        **{key: used[key] for key in ("codes_used", "perplexity", "perplexity_brain")},
        "gmac": counter.get_total_flops() / 2e9,
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": sum(float(row["seconds"]) for row in epochs),
        "epochs": len(epochs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, help="slices; without it the demo cohort")
    parser.add_argument("--entries", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--roi_size", type=int, nargs=2, default=[176, 208], help="middle of the slices to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output_dir", type=Path, default=Path("benchmark_reconstruction"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = {}
    for name in arguments.entries:
        results[name] = measure(name, train(name, arguments), arguments)
        (arguments.output_dir / "reconstruction.json").write_text(json.dumps(results, indent=4) + "\n")
        print("".join(f"{column:>18}" for column in ("entry", *COLUMNS)))
        for entry, row in results.items():
            print(f"{entry:>18.18}" + "".join(f"{row[column]:>18.4g}" for column in COLUMNS))


if __name__ == "__main__":
    main()
