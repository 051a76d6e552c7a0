"""Reconstructions and samples to look at."""

from __future__ import annotations

import os
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from monai_vqoasis.handlers.tensorboard import LazySummaryWriter
from monai_vqoasis.inferers import WavefrontSampler
from monai_vqoasis.metrics import image_pair
from monai_vqoasis.networks import CodePrior, VectorQuantizedAutoencoder
from monai_vqoasis.visualize import picture_grid, reconstruction_rows, save_picture_grid, to_rows

__all__ = ["ReconstructionPictures", "SamplePictures"]


class ReconstructionPictures:
    """Writes slices over their reconstructions over four times the difference, after each run of an evaluator.

    The slices are spread evenly over the data, so that different people are seen; of a volume it is the middle one. Of
    several processes the first writes, from what it has seen.

    Args:
        output_dir: folder to write to.
        filename: of the picture; ``{epoch}`` becomes the epoch.
        num_slices: how many.
        summary_writer: a TensorBoard writer that gets the same picture; None for none.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        filename: str = "reconstructions.png",
        num_slices: int = 8,
        summary_writer: LazySummaryWriter | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.filename = filename
        self.num_slices = num_slices
        self.summary_writer = summary_writer
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def attach(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._collect)
            engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._pairs.clear()

    def _collect(self, engine: Engine) -> None:
        if len(self._pairs) < self.num_slices and is_among(engine, self.num_slices):
            reconstruction, image = (torch.as_tensor(batch)[0, 0].cpu() for batch in image_pair(engine.state.output))
            if image.ndim == 3:
                reconstruction, image = (volume[..., volume.shape[-1] // 2] for volume in (reconstruction, image))
            self._pairs.append((image, reconstruction))

    def _write(self, engine: Engine) -> None:
        path = self.output_dir / self.filename.format(epoch=engine.state.epoch)
        _show(reconstruction_rows(self._pairs), path, self.summary_writer, engine.state.epoch)


class SamplePictures:
    """Writes slices drawn from a prior, always with the same seeds, after each run of an evaluator.

    Of several processes the first draws and writes.

    Args:
        prior: stage 2, as it stands then.
        vqvae: the stage 1 that it is trained on.
        output_dir: folder to write to.
        filename: of the picture; ``{epoch}`` becomes the epoch.
        num_samples: how many.
        summary_writer: a TensorBoard writer that gets the same picture; None for none.
    """

    def __init__(
        self,
        prior: CodePrior,
        vqvae: VectorQuantizedAutoencoder,
        output_dir: str | os.PathLike[str],
        filename: str = "samples_epoch_{epoch:03d}.png",
        num_samples: int = 8,
        summary_writer: LazySummaryWriter | None = None,
    ) -> None:
        self.prior = prior
        self.vqvae = vqvae
        self.output_dir = Path(output_dir)
        self.filename = filename
        self.seeds = range(num_samples)
        self.summary_writer = summary_writer

    def attach(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.COMPLETED, self)

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        codes = WavefrontSampler()(self.prior, self.prior.latent_shape.tolist(), self.seeds)
        path = self.output_dir / self.filename.format(epoch=engine.state.epoch)
        _show(to_rows(self.vqvae.decode(codes)), path, self.summary_writer, engine.state.epoch)


def is_among(engine: Engine, number: int) -> bool:
    """Whether the iteration of an evaluator is one of about ``number``, spread evenly over all of its run."""
    return (engine.state.iteration - 1) % max(1, engine.state.epoch_length // number) == 0


def _show(rows: list[list[torch.Tensor]], path: Path, writer: LazySummaryWriter | None, epoch: int) -> None:
    save_picture_grid(rows, path)
    if writer is not None:
        writer.add_image(path.name.split("_")[0], picture_grid(rows), epoch, dataformats="HW")
