"""Whether anything is lost when a training is killed: both stages, tiny, killed by SIGKILL again and again.

A run that is killed at random moments, half of them while a file is being written, and resumed each time must end with
the numbers, the weights and the whole state, to the last bit, of one that was never killed; TensorBoard's values must
each be there once. On one CPU thread.

    python benchmarks/kill_resume.py [--kills 20] [--kills_per_run 5] [--seed 0] [--output kill_resume.json]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_vqoasis.data.oasis import section_dir, slice_name

CONFIGS = Path(__file__).resolve().parents[1] / "bundle" / "configs"
VQVAE = {
    "_target_": "monai_vqoasis.networks.ResidualVQVAE",
    "channels": [4, 8], "encoder_blocks": [0, 1], "decoder_blocks": [0, 1], "embedding_dim": 4, "num_embeddings": 16,
    "decay": 0.8,
}  # fmt: skip
PRIOR = {
    "_target_": "monai_vqoasis.networks.GatedPixelCNN",
    "num_embeddings": 16, "shape": [8, 8], "channels": 8, "hidden_channels": 4, "dilations": [1],
    "conditions": {"slice_index": 3},
}  # fmt: skip
SHORT = {"roi_size": [40, 48], "max_shift": 2, "batch_size": 4, "warmup_steps": 5}
STAGES = {
    "vqvae": ("train.json", "checkpoint.pt", {"network_def": VQVAE, "max_epochs": 12, "learning_rate": 0.005}),
    "prior": (
        "train_prior.json",
        "checkpoint_prior.pt",
        {
            "vqvae_def": VQVAE, "network_def": PRIOR, "max_epochs": 40, "learning_rate": 0.05, "num_variants": 2,
            "early_stopping_patience": 4,
        },
    ),
}  # fmt: skip
# a disk so slow that a kill can fall into its writing
SLOW = """
import os, runpy, time
write = os.fsync
os.fsync = lambda file: (time.sleep(0.03), write(file))
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


def write_slices(root: Path) -> Path:
    """Discs on black, 40x48, three a person."""
    rows, columns = np.mgrid[:40, :48]
    for section, people in {"train": range(1, 6), "validate": (6, 7), "test": (8,)}.items():
        folder = section_dir(root, section)
        folder.mkdir(parents=True)
        for person in people:
            draw = np.random.default_rng(person)
            for index in range(3):
                centre = draw.uniform(15, 25, 2)
                distance = np.hypot(rows - centre[0], columns - centre[1])
                image = np.where(distance < 14, 120 + 100 * np.cos(draw.uniform(0.2, 0.6) * distance), 0)
                name = slice_name(f"case_{person:03d}", index)
                Image.fromarray(image.astype(np.uint8)).save(folder / name, format="PNG")
    return root


def start(stage: str, folder: Path, data: Path, models: Path, resume: bool) -> subprocess.Popen:
    """A training in a process of its own, in ``folder``."""
    config, _, settings = STAGES[stage]
    settings = {**SHORT, **settings, "dataset_dir": data, "ckpt_dir": folder, "output_dir": folder, "resume": resume}
    if stage == "prior":
        settings["vqvae_path"] = models / "model.pt"
    options = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
    files = ["run", "training", "--config_file", str(CONFIGS / config)]
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *files, *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"a training failed:\n{output}")
    return output


def kill_once(process: subprocess.Popen, folder: Path, delay: float, resumed: bool, writing: bool) -> str | None:
    """Kill a training ``delay`` seconds after its start, or when it next writes; what it was writing, if it was.

    None if it had ended before.
    """
    if resumed:
        next(line for line in process.stdout if line.startswith("resumed from"))
    while process.poll() is None and not any(folder.glob("checkpoint*.pt")):
        time.sleep(0.002)
    time.sleep(delay)
    while writing and process.poll() is None and not partial_files(folder):
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    return ", ".join(partial_files(folder)) if process.returncode < 0 else None


def partial_files(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".partial")[1:] for path in folder.glob(".*.partial"))


def result(folder: Path, stage: str) -> dict[str, object]:
    """All that a training left, but for the times that it took."""
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    log = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0})
    log.Reload()
    state = {path.name: torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))}
    state[STAGES[stage][1]].pop("summary_writer")  # how long its files are, by name
    return {
        "rows": [[value for name, value in row.items() if name not in ("seconds", "items_per_second")] for row in rows],
        "log": {tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in sorted(log.Tags()["scalars"])},
        "partial": partial_files(folder),
        **state,
    }


def differences(expected: object, found: object, where: str = "") -> list[str]:
    """Where two results are not the same to the last bit."""
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return [d for name in expected for d in differences(expected[name], found[name], f"{where}/{name}")]
    if isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)) and len(expected) == len(found):
        pairs = zip(expected, found, strict=True)
        return [d for number, pair in enumerate(pairs) for d in differences(*pair, f"{where}/{number}")]
    same = torch.equal(expected, found) if isinstance(expected, torch.Tensor) else expected == found
    return [] if same else [where]


def try_stage(stage: str, root: Path, data: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Kill a stage ``arguments.kills`` times, over several runs, and compare each with the one never killed."""
    whole, models = root / stage / "whole", root / "vqvae" / "whole"
    finish(start(stage, whole, data, models, resume=False))
    expected = result(whole, stage)
    seconds = (whole / STAGES[stage][1]).stat().st_mtime - (whole / "tensorboard").stat().st_mtime
    draw = random.Random(arguments.seed)
    kills, failures, writing = 0, [], []
    number = 0
    while kills < arguments.kills:
        number += 1
        folder = root / stage / f"run_{number}"
        folder.mkdir(parents=True)
        resume = False
        for _ in range(min(arguments.kills_per_run, arguments.kills - kills)):
            process = start(stage, folder, data, models, resume)
            delay = draw.uniform(0, seconds / arguments.kills_per_run)
            written = kill_once(process, folder, delay, resume, writing=kills % 2 == 1)
            if written is None:
                break
            kills += 1
            writing += [written] if written else []
            resume = True
        output = finish(start(stage, folder, data, models, resume))
        lost = differences(expected, result(folder, stage))
        failures += [f"run {number}: {where}" for where in lost]
        last = [line for line in output.splitlines() if line.startswith(("epoch", "nothing"))][-1:]
        print(f"{stage} run {number}: {kills} kills so far; {len(lost)} differences; {last}", flush=True)
    return {
        "kills": kills, "while_writing": writing, "runs": number, "epochs": len(expected["rows"]),
        "differences": failures,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--kills_per_run", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = write_slices(root / "slices")
        results = {stage: try_stage(stage, root, data, arguments) for stage in STAGES}
    for stage, numbers in results.items():
        print(
            f"{stage}: {numbers['kills']} kills in {numbers['runs']} runs of {numbers['epochs']} epochs, "
            f"{len(numbers['while_writing'])} while writing; {len(numbers['differences'])} differences"
        )
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=4) + "\n")
    sys.exit(any(numbers["differences"] for numbers in results.values()))


if __name__ == "__main__":
    main()
