"""Sharper pictures of the same codes: the decoder alone is trained on, against MONAI's patch discriminator.

Minimises the mean squared error plus a weight times the least-squares adversarial loss (Mao et al. 2017,
https://arxiv.org/abs/1611.04076) of a discriminator of patches (Isola et al. 2017, https://arxiv.org/abs/1611.07004).
Encoder and codebook stay as they are, so that the codes do too, and the prior keeps its worth. Weight 0 trains on
without a discriminator: what the others are to be compared with. At 0.001 a discriminator that has warmed up pulls the
shipped decoder about as hard as the mean squared error does, which is also what MONAI's VQ-GAN tutorial comes to (0.01
beside an absolute error).

    python benchmarks/sharpen.py [--dataset_dir <dataset_dir>] [--epochs 4] [--weight 0 0.0003 0.001 0.003]

Needs the extra ``benchmarks``. Starts from ``bundle/models/model.pt``; each weight's folder gets a ``model.pt`` like it
and a picture (slices, before, after). Stopped, it goes on with the epoch in which it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from tqdm import tqdm
from trainings import CONFIGS, claim, keep, quality, show, wanting

from monai_vqoasis.configuration import keep_freed_memory
from monai_vqoasis.data import EpochSampler, OASISSliceDataset
from monai_vqoasis.errors import NonFiniteLossError
from monai_vqoasis.evaluation import CodedSlices, SliceSet, code_slices, evenly_spread, load_slices
from monai_vqoasis.inferers import encode_variants
from monai_vqoasis.networks import VectorQuantizedAutoencoder, load_tensors, load_weights, save_tensors
from monai_vqoasis.visualize import save_picture_grid

COLUMNS = ("psnr", "ssim", "psnr_brain", "kid", "seconds")
NUM_SHOWN = 6


class Sharpener:
    """A decoder against its discriminator.

    Both learn with Adam of betas 0.5 and 0.9, at rates that fall linearly to zero.

    Args:
        vqvae: its decoder is trained, all else frozen.
        weight: of the adversarial loss; 0 trains without a discriminator.
        steps: of the whole training.
        arguments: of the command line.
    """

    def __init__(
        self, vqvae: VectorQuantizedAutoencoder, weight: float, steps: int, arguments: argparse.Namespace
    ) -> None:
        self.vqvae = vqvae.requires_grad_(False)
        self.weight = weight
        self.arguments = arguments
        self.discriminator = PatchDiscriminator(spatial_dims=2, in_channels=1, channels=arguments.channels)
        self.discriminator.to(arguments.device, memory_format=torch.channels_last)
        self.adversarial = PatchAdversarialLoss(criterion="least_squares")
        self.parts = {"decoder": vqvae.decoder.requires_grad_(), "discriminator": self.discriminator}
        rates = {"decoder": arguments.learning_rate, "discriminator": arguments.discriminator_learning_rate}
        for name, rate in rates.items():
            optimizer = torch.optim.Adam(self.parts[name].parameters(), rate, betas=(0.5, 0.9))
            schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
            self.parts |= {f"{name}_optimizer": optimizer, f"{name}_schedule": schedule}

    def step(self, codes: torch.Tensor, images: torch.Tensor, listens: bool) -> dict[str, float]:
        """Losses of ``images`` (B 1 H W) and their ``codes`` (int64, B h w), with a step that lowers them.

        Args:
            codes: of the images.
            images: what the decoder should make of them.
            listens: whether the decoder follows the discriminator yet.

        Raises:
            NonFiniteLossError: before a step with such a loss.
        """
        with self.precision():
            reconstruction = self.vqvae.decode(codes, images.shape[2:])
        losses = {"mse": F.mse_loss(reconstruction, images)}
        loss = losses["mse"]
        if self.weight and listens:
            self.discriminator.requires_grad_(False)
            judged, _ = self.judge(reconstruction, images)
            losses["adversarial"] = self.adversarial(judged, True, for_discriminator=False)
            loss = loss + self.weight * losses["adversarial"]
        self.descend("decoder", loss)
        if self.weight:
            self.discriminator.requires_grad_()
            judged = zip(self.judge(reconstruction.detach(), images), (False, True), strict=True)
            losses["discriminator"] = sum(self.adversarial(x, real, for_discriminator=True) for x, real in judged) / 2
            self.descend("discriminator", losses["discriminator"])
        return {name: float(value) for name, value in losses.items()}

    def precision(self) -> torch.autocast:
        """Bfloat16 where that was asked for: it has the range of float32, and needs no scaled loss."""
        return torch.autocast(self.arguments.device.type, torch.bfloat16, enabled=self.arguments.amp)

    def judge(self, reconstruction: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How real each patch of both (B 1 H W) is: B 1 h w each.

        In one batch: where each is normalised by its own statistics, as in the tutorial, their difference is what is
        taken away, and a discriminator took three times as many steps to see it.
        """
        with self.precision():
            return self.discriminator(torch.cat([reconstruction, images]))[-1].float().chunk(2)

    def descend(self, name: str, loss: torch.Tensor) -> None:
        if not loss.isfinite():
            raise NonFiniteLossError(f"the {name}'s loss became {loss.item()}; lower its learning rate.")
        self.parts[f"{name}_optimizer"].zero_grad(set_to_none=True)
        loss.backward()
        self.parts[f"{name}_optimizer"].step()
        self.parts[f"{name}_schedule"].step()


def sharpen(
    weight: float,
    folder: Path,
    dataset: OASISSliceDataset,
    codes: Sequence[Sequence[dict[str, object]]],
    slices: SliceSet,
    before: CodedSlices,
    arguments: argparse.Namespace,
) -> dict[str, object]:
    """Train a decoder, or train on; the quality of its reconstructions at the end and after each epoch.

    Args:
        weight: of the adversarial loss.
        folder: where checkpoint, weights and picture go.
        dataset: training slices, shifted and mirrored at random as its ``epoch`` says.
        codes: of these in each epoch, see :func:`encode_variants`.
        slices: what is measured.
        before: these through the shipped decoder.
        arguments: of the command line.
    """
    torch.manual_seed(arguments.seed)
    vqvae = shipped(arguments)
    frozen = {name: value.clone() for name, value in vqvae.state_dict().items() if not name.startswith("decoder.")}
    steps_an_epoch = -(-len(dataset) // arguments.batch_size)
    sharpener = Sharpener(vqvae, weight, arguments.epochs * steps_an_epoch, arguments)
    sampler = EpochSampler(dataset, arguments.seed)
    path, history = folder / "checkpoint.pt", []
    if path.is_file():
        checkpoint = load_tensors(path)
        history = checkpoint["history"]
        for name, part in sharpener.parts.items():
            part.load_state_dict(checkpoint[name])
    for epoch in range(len(history), arguments.epochs):
        start = time.perf_counter()
        dataset.epoch = sampler.epoch = epoch
        vqvae.train()  # for the gradient of a clamped pixel; the book learns in `forward` alone
        totals: dict[str, float] = {}
        batches = torch.tensor(list(sampler)).split(arguments.batch_size)
        with tqdm(batches, desc=f"{folder.name}, epoch {epoch + 1}", unit="batch", disable=None) as bar:
            for number, indices in enumerate(bar, start=epoch * steps_an_epoch):
                images = torch.stack([dataset[i]["image"] for i in indices.tolist()]).to(arguments.device)
                known = torch.stack([codes[epoch][i]["codes"] for i in indices.tolist()]).to(arguments.device)
                losses = sharpener.step(known, images, listens=number >= arguments.warm_up)
                bar.set_postfix(losses)
                for name, value in losses.items():
                    totals[name] = totals.get(name, 0.0) + value / len(batches)
        seconds = time.perf_counter() - start
        after = code_slices(vqvae, slices, device=arguments.device)
        history.append({**quality(slices, after.reconstructions), **totals, "seconds": seconds})
        state = {name: part.state_dict() for name, part in sharpener.parts.items()}
        save_tensors({**state, "history": history}, path)
        print(f"{folder.name}, epoch {epoch + 1}: " + ", ".join(f"{k} {v:.4g}" for k, v in history[-1].items()))
    after = code_slices(vqvae, slices, device=arguments.device)
    assert torch.equal(after.codes, before.codes), "the codes changed"
    assert all(torch.equal(vqvae.state_dict()[name].cpu(), value.cpu()) for name, value in frozen.items())
    save_tensors(vqvae.state_dict(), folder / "model.pt")
    shown = evenly_spread(len(slices), NUM_SHOWN)
    rows = [list(one.images(shown)[:, 0]) for one in (slices, before.reconstructions, after.reconstructions)]
    save_picture_grid(rows, folder / "before_after.png")
    return {**history[-1], "seconds": sum(row["seconds"] for row in history), "by_epoch": history}


def shipped(arguments: argparse.Namespace) -> VectorQuantizedAutoencoder:
    """The shipped stage 1."""
    network = configured("network_def", arguments)
    return load_weights(network, CONFIGS.parent / "models" / "model.pt").to(arguments.device)


def configured(name: str, arguments: argparse.Namespace) -> object:
    """An object of train.json."""
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train.json"))
    parser.update({"dataset_dir": str(arguments.dataset_dir), "seed": arguments.seed})
    return parser.get_parsed_content(name)


def main() -> None:
    command_line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_argument("--dataset_dir", type=Path, default=CONFIGS.parent / "data" / "demo_cohort")
    command_line.add_argument("--weight", type=float, nargs="+", default=[0.0, 0.0003, 0.001, 0.003])
    command_line.add_argument("--epochs", type=int, default=4)
    command_line.add_argument(
        "--warm_up", type=int, default=200, help="steps in which only the discriminator learns it"
    )
    command_line.add_argument("--batch_size", type=int, default=8)
    command_line.add_argument("--learning_rate", type=float, default=1e-4)
    command_line.add_argument("--discriminator_learning_rate", type=float, default=2e-4)
    command_line.add_argument("--channels", type=int, default=32, help="of the discriminator's first layer")
    command_line.add_argument("--seed", type=int, default=0)
    command_line.add_argument("--amp", action="store_true", help="train in mixed precision (bfloat16)")
    command_line.add_argument("--output_dir", type=Path, default=Path("benchmark_sharpen"))
    arguments = command_line.parse_args()
    arguments.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep_freed_memory()
    weights = {f"weight_{weight:g}": weight for weight in arguments.weight}
    slices = load_slices(arguments.dataset_dir, "validate")
    before = code_slices(shipped(arguments), slices, device=arguments.device)
    (arguments.output_dir / "before").mkdir(parents=True, exist_ok=True)
    keep({**quality(slices, before.reconstructions), "seconds": 0.0}, arguments.output_dir / "before", arguments)
    for name in weights:
        claim(arguments.output_dir / name, arguments)
    wanted = {name: weight for name, weight in weights.items() if wanting(arguments.output_dir / name)}
    if wanted:
        dataset = configured("train::dataset", arguments)
        codes = encode_variants(shipped(arguments), dataset, arguments.epochs, arguments.device)
    for name, weight in wanted.items():
        folder = arguments.output_dir / name
        keep(sharpen(weight, folder, dataset, codes, slices, before, arguments), folder, arguments)
        show(["before", *weights], COLUMNS, arguments)
    show(["before", *weights], COLUMNS, arguments)


if __name__ == "__main__":
    main()
