"""Settings that cannot be, are not there, or that nothing reads, and places that cannot be written to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.bundle.bad_inputs.runs import ABSENT, VERBS, VQVAE_DEF, Case, Make, World, with_setting
from tests.conftest import CONFIGS

CONFIG_OF = {verb: json.loads((CONFIGS / file).read_text()) for verb, (file, _) in VERBS.items() if verb != "score"}
PATHS = ("_dir", "_path")


def kinds() -> Iterator[Case]:
    """Every setting of every config as something else than what it is."""
    for verb, config in CONFIG_OF.items():
        for key, default in config.items():
            if key in ("imports", "bundle_root", "initialize", "run", "finalize", "sections" * (verb == "evaluate")):
                continue
            if key.endswith(PATHS):
                wrong = 5
            elif key == "device":
                wrong = "gpu"
            elif default is None or str(default).startswith("$"):
                continue
            elif isinstance(default, bool):
                wrong = "maybe"
            elif isinstance(default, (int, float)):
                wrong = "many"
            elif isinstance(default, str):
                wrong = 5 if not default.startswith("@") else None
            elif isinstance(default, list) and isinstance(default[0], int):
                wrong = "wide"
            elif key.endswith("_def") or key == "sections":
                wrong = 7
            else:
                continue
            if wrong is not None:
                yield Case(f"{verb}: {key} {wrong!r}", verb, with_setting(key, wrong), (key, repr(wrong)))


def more_kinds() -> Iterator[Case]:
    """Values that nearly are."""
    wrongs = [
        ("train", "max_epochs", 1.5), ("train", "max_epochs", True), ("train", "max_epochs", None),
        ("train", "batch_size", [4]), ("train", "batch_size", "8"), ("train", "learning_rate", "1e-3x"),
        ("train", "learning_rate", True), ("train", "resume", 1), ("train", "amp", None), ("train", "roi_size", [16]),
        ("train", "roi_size", [16, 24, 1]), ("train", "roi_size", [16.0, 24.0]), ("train", "roi_size", ["a", "b"]),
        ("train", "roi_size", 16), ("train", "seed", None), ("train", "seed", 1.5), ("train", "seed", "zero"),
        ("train", "ckpt_dir", True), ("train", "ckpt_dir", None), ("train", "output_dir", ["a"]),
        ("train", "dataset_dir", None), ("train", "device", "cuda:99"), ("train", "device", "cpu:x"),
        ("train", "network_def", {}), ("train", "network_def", {"_target_": "no.such.Network"}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "chanels": [4, 8]}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "channels": 4}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "decay": 3}),
        ("train", "network_def", {"_target_": "monai_vqoasis.networks.ResidualVQVAE", "num_embeddings": -1}),
        ("train", "network_def", {"_target_": "pathlib.Path"}),
        ("train_prior", "vqvae_def", "model"), ("train_prior", "num_variants", 2.5), ("train_prior", "cases_path", 3),
        ("reconstruct", "view", 3), ("reconstruct", "view", ["anomaly"]), ("reconstruct", "intensity_max", "bright"),
        ("reconstruct", "intensity_max", True), ("reconstruct", "intensity_max", [255]),
        ("score", "method", None), ("score", "healthy_fraction", "few"), ("score", "threshold", "high"),
        ("score", "threshold", True), ("score", "redraw_above", "much"), ("score", "seed", "five"),
        ("generate", "top_k", 1.5), ("generate", "top_k", "many"), ("generate", "top_k", True),
        ("generate", "top_p", "half"), ("generate", "top_p", True), ("generate", "slice_index", "top"),
        ("generate", "slice_index", 1.5), ("generate", "slice_index", True), ("generate", "cdr", "mild"),
        ("generate", "cdr", [0, 1]), ("generate", "temperature", None), ("generate", "image_size", 64),
        ("generate", "image_size", [64, 64, 64]), ("export", "image_size", "256x256"), ("export", "dataset_dir", 7),
        ("prepare_oasis", "z_range", [67]), ("prepare_oasis", "z_range", ["a", "b"]), ("prepare_oasis", "masked", 2),
        ("prepare_oasis", "sections", {"train": "all"}), ("prepare_oasis", "sections", {"train": ["a", "b"]}),
        ("prepare_oasis", "sections", [1, 401]), ("prepare_oasis", "white_percentile", "99"),
    ]  # fmt: skip
    for verb, key, value in wrongs:
        yield Case(f"{verb}: {key} {value!r}", verb, with_setting(key, value), (f"{key}|{key.upper()}",))


def bounds() -> Iterator[Case]:
    """Values of the right kind that cannot be."""
    nan, inf = float("nan"), float("inf")
    wrongs = {
        "train": {
            "max_epochs": (0, -3), "batch_size": (0, -1), "val_batch_size": (0,), "val_interval": (0, -1, 10**6),
            "learning_rate": (0.0, -0.1, nan, inf), "warmup_steps": (-1,), "max_grad_norm": (0.0, -1.0, nan),
            "roi_size": ([0, 0], [-16, 24]), "max_shift": (-1,), "mirror_prob": (-0.5, 1.5, nan),
            "cache_rate": (2.0, -1.0), "num_workers": (-1,), "seed": (-1, 2**70),
        },
        "train_prior": {
            "num_variants": (0, -1), "early_stopping_patience": (0,), "weight_decay": (-1.0, nan), "seed": (-5,),
            "roi_size": ([0, 24],), "batch_size": (0,), "max_epochs": (0,), "learning_rate": (nan,),
        },
        "reconstruct": {
            "slice_batch_size": (0, -8), "num_pictures": (0, -1), "intensity_max": (0, -5.0, nan, inf),
            "view": ("picture", ""), "seed": (-1,),
        },
        "score": {
            "healthy_fraction": (0.0, 0.7, nan, -0.1), "threshold": (0.0, -1.0, nan, inf), "num_restorations": (0, -1),
            "redraw_above": (nan, inf), "method": ("magic", ""), "slice_batch_size": (0,), "num_pictures": (0,),
        },
        "generate": {
            "num_samples": (0, -1), "batch_size": (0, -1), "temperature": (0.0, -1.0, nan, inf), "top_k": (0, -2),
            "top_p": (0.0, 1.5, -0.1, nan), "slice_index": (3, 99, -2, [0, 1, 2]), "cdr": (0.7, -1, 4, nan),
            "image_size": ([0, 0], [-1, 24]), "seed": (-1, 2**64),
        },
        "evaluate": {
            "num_samples": (0, -1), "samples_per_position": (0, -1), "codec_slices": (0, -1), "batch_size": (0, -1),
        },
        "calibrate": {"batch_size": (0, -1), "num_restorations": (0,), "redraw_above": (nan,)},
        "export": {"image_size": ([0, 0],), "num_samples": (0,), "batch_size": (0,)},
        "prepare_demo": {"num_train": (-1,), "num_validate": (-1,), "num_test": (-1,), "seed": (-1,)},
        "prepare_oasis": {
            "num_slices": (0, -1, 500), "z_range": ([98, 67], [0, 500], [-1, 5]), "white_percentile": (0.0, 101.0, nan),
            "sections": (
                {}, {"training": [1, 5]}, {"train": 0.5}, {"train": [5, 1]}, {"train": [1, 5], "test": [5, 9]},
                {"train": [1, 5], "test": 0.5},
            ),
        },
    }  # fmt: skip
    for verb, settings in wrongs.items():
        for key, values in settings.items():
            for value in values:
                yield Case(f"{verb}: {key} {value!r}", verb, with_setting(key, value), (f"{key}|{key.upper()}",))


def absent() -> Iterator[Case]:
    """Configs that lack a key, each in a bundle of its own."""

    def wrote(world: World, out: Path) -> None:
        assert any(path.suffix in (".png", ".pt") for path in out.rglob("*"))

    for verb, config in CONFIG_OF.items():
        for key in config:

            def make(world: World, folder: Path, verb: str = verb, key: str = key) -> dict[str, object]:
                (folder / "configs").mkdir()
                for file in CONFIGS.glob("*.json"):
                    text = file.read_text()
                    if file.name == VERBS[verb][0]:
                        text = json.dumps({k: v for k, v in json.loads(text).items() if k != key})
                    (folder / "configs" / file.name).write_text(text)
                paths = VERBS[verb][1](world, folder).items()
                as_text = {name: str(path) for name, path in paths if isinstance(path, Path)}
                return {**as_text, "config_file": folder / "configs" / VERBS[verb][0], key: ABSENT}

            others = json.dumps({k: v for k, v in config.items() if k != key})
            if key in ("initialize", "finalize"):  # it checks nothing, or does not say where the results are
                if verb in ("train", "generate", "score"):
                    yield Case(f"{verb}: a config without {key}", verb, make, None, wrote)
            elif key in ("imports", "seed") or (f"@{key}" in others and key != "bundle_root"):
                yield Case(f"{verb}: a config without {key}", verb, make, (key, "missing"))
            elif key == "run":
                yield Case(f"{verb}: a config without {key}", verb, make, ("run",))


def unread() -> Iterator[Case]:
    """Keys that nothing reads."""
    for verb, key, word in (
        ("train", "batchsize", "batch_size"), ("train", "num_samples", "num_samples"), ("train", "prior_path", "prior"),
        ("train", "view", "view"), ("generate", "temprature", "temperature"),
        ("generate", "dataset_dir", "dataset_dir"), ("generate", "calibration_path", "calibration_path"),
        ("calibrate", "output_dir", "output_dir"), ("calibrate", "max_epochs", "max_epochs"),
        ("evaluate", "view", "view"), ("reconstruct", "batch_size", "batch_size"),
        ("reconstruct", "section", "section"), ("prepare_demo", "ckpt_dir", "ckpt_dir"),
        ("prepare_oasis", "cases_path", "cases_path"),
        ("export", "device", "device"), ("export", "temperature", "temp"), ("train_prior", "prior_def", "prior_def"),
        ("train_prior", "model_path", "model_path"),
    ):  # fmt: skip
        make = with_setting(key, "here" if key.endswith(PATHS) else 3)
        yield Case(f"{verb}: --{key}, which it does not read", verb, make, ("unknown config key", word))
    for verb in ("train", "reconstruct"):
        yield Case(f"{verb}: another run", verb, with_setting("run_id", "trainning"), ("trainning",))
    yield Case("train: --nonsense None", "train", with_setting("nonsense", None), ("unknown config key", "nonsense"))
    elsewhere = with_setting("batch_size", "@nowhere")
    yield Case("train: a reference to nowhere", "train", elsewhere, ("nowhere", "missing"))

    def broken(text: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            shutil.copytree(CONFIGS, folder / "configs")
            (folder / "configs" / "mine.json").write_text(text)
            return {"config_file": folder / "configs" / "generate.json"}

        return make

    for name, text in (("half a config", '{"seed": 0, "ba'), ("a list", "[1, 2]"), ("nothing", "")):
        yield Case(f"generate: {name} beside the config", "generate", broken(text), ("mine.json",))

    def overlay(world: World, folder: Path) -> dict[str, object]:
        return {"config_file": [CONFIGS / "train.json", CONFIGS / "original.json"], "network_def": VQVAE_DEF}

    def trained(world: World, out: Path) -> None:
        assert torch.load(out / "model.pt", weights_only=True)

    device = with_setting("device", "cpu")
    yield Case("train: a device as text, for all that asks for its type", "train", device, None, trained)
    yield Case("train: an overlay with settings of another stage", "train", overlay, None, trained)


def outputs() -> Iterator[Case]:
    """Places that cannot be written to."""
    results = {
        "train": ("output_dir", "ckpt_dir"), "train_prior": ("output_dir", "ckpt_dir"), "reconstruct": ("output_dir",),
        "score": ("output_dir",), "generate": ("output_dir",), "calibrate": ("calibration_path",),
        "prepare_demo": ("dataset_dir",),
    }  # fmt: skip

    def at(key: str, name: str) -> Make:
        def make(world: World, folder: Path) -> dict[str, object]:
            (folder / "file").write_text("mine")
            return {key: folder / name}

        return make

    for verb, names in results.items():
        for key in names:
            if key != "calibration_path":
                yield Case(f"{verb}: a file for {key}", verb, at(key, "file"), ("file",))
            yield Case(f"{verb}: {key} in a file", verb, at(key, "file/in"), ("file",))
            yield Case(f"{verb}: {key} of a name too long", verb, at(key, "y" * 300), ("yyy", "too long"))
            yield Case(f"{verb}: {key} with a null byte", verb, at(key, "a\0b"), (key,))
    yield Case("calibrate: a folder for calibration_path", "calibrate", at("calibration_path", ""), ("directory",))
