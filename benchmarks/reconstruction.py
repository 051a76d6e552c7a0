"""Stage 1 against its peers at equal bits (32x32 codes of 256) and equal budget: data, epochs, batches, seed.

Each entry is the bundle's train.json with other settings, so that all go through the same loader, loop and metrics.
What counts are the last epoch's weights on the validation section, each network measured over the pixels that it was
trained on: the middle of a slice, with black around. Some learn to see where their training pictures end, and draw a
haze there on whole slices.

    python benchmarks/reconstruction.py [--dataset_dir <dataset_dir>] [--epochs 20] [--entries ours original]

Needs the extra ``benchmarks``. Stopped, it goes on where it was when the command is given again, and the table holds
all entries that lie in the output folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch.utils.flop_counter import FlopCounterMode
from trainings import CONFIGS, SHIPPED_VQVAE, Entries, curve, parse_arguments, quality, run_entries

from monai_vqoasis.evaluation import book_usage, code_histograms, code_slices, load_slices
from monai_vqoasis.networks import load_weights

EQUAL_BITS = {"num_embeddings": 256, "embedding_dim": 64}
UNSHIFTED = {"max_shift": 0}  # which gives better numbers on slices that lie as the training slices do
PLAIN = {**UNSHIFTED, "mirror_prob": 0.0}
SQUARED_ERROR = {"loss": {"_target_": "monai_vqoasis.losses.VQVAELoss"}}
ATLAS = [176, 208]  # pixels that the release pads with black
PEER = {"roi_size": ATLAS, **SQUARED_ERROR, **UNSHIFTED}
BALANCED = {"encoder_blocks": [1, 2], "decoder_blocks": [2, 3]}
SMALL = {"channels": [32, 64, 128], "num_res_layers": 1, "num_res_channels": [32, 64, 128]}


def network(target: str, **arguments: object) -> dict[str, object]:
    """Setting for a network of this package (a class name) or of ``peers``."""
    return {"network_def": {"_target_": target if "." in target else f"monai_vqoasis.networks.{target}", **arguments}}


def wide(**arguments: object) -> dict[str, object]:
    """Settings for this project's network with codes over all of the atlas, trained as its peers are."""
    return {**PEER, **network("ResidualVQVAE", field_of_view=ATLAS, **arguments)}


def loss_term(weight: float, target: str, **arguments: object) -> dict[str, object]:
    """Setting for a further term of the loss."""
    term = {"_target_": target, **arguments}
    return {"loss": {"_target_": "monai_vqoasis.losses.VQVAELoss", "terms": [[weight, term]]}}


ENTRIES: Entries = {
    "ours": (["train.json"], {}),
    "original": (["train.json", "original.json"], {"roi_size": ATLAS}),
    # these with this project's rate schedule and mirrored slices too
    "original_corrected_book": (["train.json"], {**PEER, **network("VQVAE"), "learning_rate": 1e-3}),
    "vector_quantize_pytorch": (
        ["train.json"],
        {
            **PEER,
            **network(
                "peers.LucidrainsVQVAE",
                num_embeddings=256,
                embedding_dim=16,
                field_of_view=ATLAS,
                quantizer_kwargs={
                    "decay": 0.99,
                    "kmeans_init": True,
                    "threshold_ema_dead_code": 2,
                    "commitment_weight": 0.25,
                },
            ),
        },
    ),
    "monai_tuned": (["train.json"], {**PEER, **network("peers.MONAIVQVAE", **EQUAL_BITS, **SMALL, decay=0.8)}),
    "monai_defaults": (["train.json"], {**PEER, **network("peers.MONAIVQVAE", **EQUAL_BITS), "learning_rate": 1e-3}),
    # what the field of view, the SSIM term and the shifts do: without the first two, and without all three
    "wide": (["train.json"], {**wide(), "max_shift": 4}),
    "wide_unshifted": (["train.json"], wide()),
    # one thing at a time, from a network whose encoder is as deep as its decoder
    "balanced": (["train.json"], {**wide(**BALANCED), **PLAIN}),
    "balanced_dim_8": (["train.json"], {**wide(**BALANCED, embedding_dim=8), **PLAIN}),
    "balanced_rate_4e-3": (["train.json"], {**wide(**BALANCED), **PLAIN, "learning_rate": 4e-3}),
    "deeper_decoder": (["train.json"], {**wide(encoder_blocks=[1, 1], decoder_blocks=[2, 4]), **PLAIN}),
    "coarse": (["train.json"], {**wide(encoder_blocks=[1, 1], decoder_blocks=[2, 5]), "max_shift": 4}),
    # one term of the loss at a time beside the mean squared error, from the shipped network. But for SSIM's, which is
    # shipped, weights are such that with trained weights a term's gradient is about as long as that of the mean
    # squared error (`python benchmarks/losses.py`). In an untrained network it is a fifth of it or less, but for
    # frequency: errors, and with them MSE's gradient, are large there
    "plain": (["train.json"], {**PLAIN, **SQUARED_ERROR}),
    "l1": (["train.json"], {**PLAIN, **loss_term(0.1, "torch.nn.L1Loss")}),
    "gradient": (["train.json"], {**PLAIN, **loss_term(0.03, "losses.GradientLoss")}),
    "frequency": (["train.json"], {**PLAIN, **loss_term(1.0, "monai.losses.JukeboxLoss", spatial_dims=2)}),
    "ssim": (["train.json"], PLAIN),
    "perceptual": (["train.json"], {**PLAIN, **loss_term(5e-4, "losses.PerceptualLoss")}),
    "cosine": (
        ["train.json"],
        {**PLAIN, **SQUARED_ERROR, **network("peers.CosineVQVAE", field_of_view=SHIPPED_VQVAE["field_of_view"])},
    ),
}
PEERS = list(ENTRIES)[: list(ENTRIES).index("wide")]
COLUMNS = ("psnr", "ssim", "psnr_brain", "kid", "codes_used", "perplexity", "perplexity_brain", "gmac", "seconds")


def read_entry(name: str, further_settings: Mapping[str, object] | None = None) -> ConfigParser:
    """The configs of an entry with its settings, and further ones."""
    configs, settings = ENTRIES[name]
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / config) for config in configs])
    parser.update({**settings, **(further_settings or {})})
    return parser


def measure(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """The weights of an entry's last epoch on the validation section."""
    entry = read_entry(name, arguments.settings)
    vqvae = load_weights(entry.get_parsed_content("network_def"), folder / "checkpoint.pt")
    slices = load_slices(arguments.dataset_dir or CONFIGS.parent / "data" / "demo_cohort", "validate")
    reconstructions, codes = code_slices(vqvae, slices, vqvae.latent_shape(entry["roi_size"]))
    used = book_usage(code_histograms(codes, slices, vqvae))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vqvae(torch.rand(1, 1, 256, 256))
    return {
        **quality(slices, reconstructions),
        **{key: used[key] for key in ("codes_used", "perplexity", "perplexity_brain")},
        "gmac": counter.get_total_flops() / 2e9,
        "parameters": sum(p.numel() for p in vqvae.parameters()),
        **curve(folder, "psnr"),
    }


def main() -> None:
    arguments = parse_arguments(__doc__, ENTRIES, PEERS, epochs=20)
    run_entries(ENTRIES, COLUMNS, measure, arguments)


if __name__ == "__main__":
    main()
