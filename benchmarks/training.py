"""What the engine around a training costs: slices per second of a stage-1 epoch with everything that train.json puts
around it (Ignite, metrics, summary, validation metrics and pictures), over those of a bare PyTorch loop.

Both in one process, in turn, on the same network, loader and batches; the ratio is that of the medians.

    python benchmarks/training.py [--slices 96] [--rounds 3] [--output training.json]
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path

import torch
from ignite.metrics import Average
from monai.data import CacheDataset, DataLoader
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler, from_engine
from monai.utils import set_determinism

from monai_vqoasis.configuration import keep_freed_memory
from monai_vqoasis.data import EpochSampler
from monai_vqoasis.engines import StageTrainer, prepare_image_batch
from monai_vqoasis.handlers import EpochSummary, LossProgressBar, ReconstructionPictures, StopOnInterrupt
from monai_vqoasis.losses import VQVAELoss
from monai_vqoasis.metrics import codebook_metrics, fidelity_metrics
from monai_vqoasis.networks import VQVAE

BATCH_SIZE = 8
SIZE = (176, 208)


def loaders(num_slices: int) -> tuple[DataLoader, DataLoader]:
    """Training and validation loader (an eighth as long) over cached random slices."""
    train = CacheDataset([{"image": torch.rand(1, *SIZE)} for _ in range(num_slices)], (), progress=False)
    validate = CacheDataset([{"image": torch.rand(1, *SIZE)} for _ in range(num_slices // 8)], (), progress=False)
    return (
        DataLoader(train, batch_size=BATCH_SIZE, sampler=EpochSampler(train)),
        DataLoader(validate, batch_size=BATCH_SIZE),
    )


def bare_loop(num_slices: int) -> float:
    """Seconds of one epoch and one validation in plain PyTorch."""
    train, validate = loaders(num_slices)
    network, loss_function = VQVAE(), VQVAELoss()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    start = time.perf_counter()
    network.train()
    for batch in train:
        optimizer.zero_grad()
        loss_function(network(batch["image"], full_output=True), batch["image"]).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    network.eval()
    with torch.no_grad():
        for batch in validate:
            network(batch["image"], full_output=True)
    return time.perf_counter() - start


def engine(num_slices: int) -> float:
    """Seconds of the same with the engine of train.json."""
    train, validate = loaders(num_slices)
    network = VQVAE()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    with tempfile.TemporaryDirectory() as folder:
        evaluator = SupervisedEvaluator(
            device="cpu",
            val_data_loader=validate,
            network=network,
            prepare_batch=prepare_image_batch,
            key_val_metric=fidelity_metrics() | codebook_metrics(network.num_embeddings),
            val_handlers=[LossProgressBar("validate"), ReconstructionPictures(folder)],
            decollate=False,
        )
        trainer = StageTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            train_data_loader=train,
            network=network,
            optimizer=optimizer,
            loss_function=VQVAELoss(),
            prepare_batch=prepare_image_batch,
            max_grad_norm=1.0,
            key_train_metric={"loss": Average(output_transform=from_engine(["loss"], first=True))},
            additional_metrics=codebook_metrics(network.num_embeddings),
            train_handlers=[
                StopOnInterrupt(),
                LossProgressBar("vqvae"),
                ValidationHandler(1, evaluator),
                EpochSummary(evaluator, Path(folder) / "metrics.csv"),
            ],
        )
        start = time.perf_counter()
        trainer.run()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=96, help="training slices an epoch")
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each, in turn, after one warm-up")
    parser.add_argument("--output", type=Path, help="JSON file for the numbers")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    keep_freed_memory()
    seconds: dict[str, list[float]] = {"bare": [], "engine": []}
    for number in range(arguments.rounds + 1):
        for name, run in (("bare", bare_loop), ("engine", engine)):
            set_determinism(seed=0)
            taken = run(arguments.slices)
            if number:
                seconds[name].append(taken)
    rate = {name: arguments.slices / statistics.median(times) for name, times in seconds.items()}
    overhead = rate["bare"] / rate["engine"] - 1
    for name in rate:
        print(f"{name:>8} {rate[name]:8.2f} slices/s")
    print(f"overhead {100 * overhead:7.1f} %   ({torch.get_num_threads()} threads, batch {BATCH_SIZE}, {SIZE})")
    if arguments.output:
        numbers = {"slices_per_second": rate, "overhead": overhead, "seconds": seconds}
        arguments.output.write_text(json.dumps(numbers | {"threads": torch.get_num_threads()}, indent=4) + "\n")


if __name__ == "__main__":
    main()
