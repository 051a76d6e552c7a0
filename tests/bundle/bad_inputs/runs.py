"""Runs of the bundle that are right but for one thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from monai_vqoasis.networks import GatedPixelCNN, ResidualVQVAE
from tests.conftest import write_slices

ABSENT = object()  # as a setting: not given
SIZE = (16, 24)
SMALL = {
    "channels": [4, 8], "encoder_blocks": [0, 1], "decoder_blocks": [0, 1], "embedding_dim": 4, "num_embeddings": 16,
    "field_of_view": list(SIZE), "resampled_size": list(SIZE),
}  # fmt: skip
SMALL_PRIOR = {
    "num_embeddings": 16, "shape": [4, 4], "channels": 8, "hidden_channels": 4, "dilations": [1],
    "conditions": {"slice_index": 3, "cdr": 5},
}  # fmt: skip
VQVAE_DEF = {"_target_": "monai_vqoasis.networks.ResidualVQVAE", **SMALL}
PRIOR_DEF = {"_target_": "monai_vqoasis.networks.GatedPixelCNN", **SMALL_PRIOR}
PAIR = {"network_def": VQVAE_DEF, "prior_def": PRIOR_DEF}
SHORT = {"max_epochs": 1, "batch_size": 4, "roi_size": list(SIZE), "max_shift": 0, "warmup_steps": 1}

Make = Callable[["World", Path], dict[str, object]]
Check = Callable[["World", Path], None]


@dataclass(frozen=True)
class World:
    """What is right: slices of five people, and a trained pair with its calibration."""

    slices: Path
    models: Path

    @property
    def picture(self) -> Path:
        return self.slices / "keras_png_slices_test" / "case_004_slice_0.nii.png"


def make_world(root: Path) -> World:
    write_slices(root / "slices", {"train": [1, 2], "validate": [3, 5], "test": [4]}, size=SIZE)
    torch.manual_seed(0)
    vqvae, prior = ResidualVQVAE(**SMALL), GatedPixelCNN(**SMALL_PRIOR)
    for embedding in prior.conditions.values():
        torch.nn.init.normal_(embedding.weight)  # as if trained on all
    prior.pair_with(vqvae, (2, 3))
    (root / "models").mkdir()
    torch.save(vqvae.state_dict(), root / "models" / "model.pt")
    torch.save(prior.state_dict(), root / "models" / "model_prior.pt")
    return World(root / "slices", root / "models")


def whole_image(world: World, folder: Path) -> tuple[dict[str, object], Path]:
    """Stage 1 of the world as one that codes whole images: its description, and a file of its weights."""
    description = {**VQVAE_DEF, "field_of_view": None}
    network = ResidualVQVAE(**{**SMALL, "field_of_view": None})
    trained = torch.load(world.models / "model.pt", weights_only=True)
    network.load_state_dict({**trained, "_extra_state": network.get_extra_state()})
    torch.save(network.state_dict(), folder / "whole.pt")
    return description, folder / "whole.pt"


# a verb's configs, and the settings that a user would give
VERBS: dict[str, tuple[str, Callable[[World, Path], dict[str, object]]]] = {
    "train": ("train.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": f / "out", "output_dir": f / "out", "network_def": VQVAE_DEF, **SHORT,
    }),
    "train_prior": ("train_prior.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": f / "out", "output_dir": f / "out", "num_variants": 1,
        "vqvae_path": w.models / "model.pt", "vqvae_def": VQVAE_DEF, "network_def": PRIOR_DEF, **SHORT,
    }),
    "reconstruct": ("inference.json", lambda w, f: {
        "dataset_dir": w.slices / "keras_png_slices_test", "ckpt_dir": w.models, "output_dir": f / "out",
        "view": "reconstruction", **PAIR,
    }),
    "score": ("inference.json", lambda w, f: {
        "dataset_dir": w.slices / "keras_png_slices_test", "ckpt_dir": w.models, "output_dir": f / "out",
        "view": "anomaly", "num_restorations": 1, **PAIR,
    }),
    "generate": ("generate.json", lambda w, f: {
        "ckpt_dir": w.models, "output_dir": f / "out", "num_samples": 2, "image_size": list(SIZE), **PAIR,
    }),
    "evaluate": ("evaluate.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": w.models, "output_dir": f / "out", "num_samples": 2,
        "samples_per_position": 1, "codec_slices": 1, **PAIR,
    }),
    "calibrate": ("calibrate.json", lambda w, f: {
        "dataset_dir": w.slices, "ckpt_dir": w.models, "calibration_path": f / "out" / "calibration.pt",
        "num_restorations": 1, **PAIR,
    }),
    "export": ("export.json", lambda w, f: {
        "ckpt_dir": w.models, "output_dir": f / "out", "num_samples": 2, "image_size": list(SIZE), **PAIR,
    }),
    "prepare_demo": ("prepare_demo.json", lambda w, f: {
        "dataset_dir": f / "out", "num_train": 1, "num_validate": 1, "num_test": 1,
    }),
    "prepare_oasis": ("prepare_oasis.json", lambda w, f: {
        "raw_dir": f / "raw", "dataset_dir": f / "out", "num_workers": 0,
        "sections": {"train": 1.0, "validate": 0.0, "test": 0.0},
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        name: what is wrong.
        verb: see :data:`VERBS`.
        make: writes what is wrong into a folder of its own and returns the settings that name it.
        error: words of the one line that the run must end in; None where it must succeed.
        check: of the folder ``out`` of a run that must succeed: that the result is right.
    """

    name: str
    verb: str
    make: Make
    error: tuple[str, ...] | None = None
    check: Check | None = None


def with_setting(key: str, value: object) -> Make:
    return lambda world, folder: {key: value}


def beside(key: str, name: str) -> Make:
    """The setting names something in the run's own folder, which is not there."""
    return lambda world, folder: {key: folder / name}
