"""The trainer of both stages."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer, Trainer
from monai.utils.enums import CommonKeys as Keys

from monai_vqoasis.data import CodeDataset, EpochSampler, OASISSliceDataset
from monai_vqoasis.errors import InputError, NonFiniteLossError

__all__ = ["StageTrainer"]

logger = logging.getLogger(__name__)


class StageTrainer(SupervisedTrainer):
    """MONAI's ``SupervisedTrainer`` with what a long training needs besides.

    A non-finite loss stops the run before the step; gradients can be clipped; mixed precision follows the device; a
    state (epoch, iteration, scaler, random numbers) is saved and resumed at any iteration, the order of the data and
    their random transforms included where the loader uses an :class:`EpochSampler` and a dataset that is told its
    ``epoch`` (:class:`OASISSliceDataset`, :class:`CodeDataset`).

    Args:
        max_grad_norm: largest total gradient norm; None does not clip.
        kwargs: arguments of ``SupervisedTrainer``; ``amp`` is float16 with a scaled loss on CUDA and bfloat16 on a
            CPU, where it pays if the CPU multiplies bfloat16 matrices (AMX).
    """

    def __init__(self, max_grad_norm: float | None = None, **kwargs: object) -> None:
        kwargs.setdefault("decollate", False)
        super().__init__(**kwargs)
        self.max_grad_norm = max_grad_norm
        # bfloat16 has the range of float32: nothing to scale
        self.scaler = torch.amp.GradScaler(
            self.state.device.type, enabled=self.amp and self.state.device.type == "cuda"
        )
        self._random_state: torch.Tensor | None = None
        sampler = getattr(self.data_loader, "sampler", None)
        if isinstance(sampler, EpochSampler):
            self.add_event_handler(Events.EPOCH_STARTED, self._set_sampler_epoch, sampler)
        dataset = getattr(self.data_loader, "dataset", None)
        if hasattr(dataset, "epoch"):
            self.add_event_handler(Events.EPOCH_STARTED, self._set_dataset_epoch, dataset)
        self.add_event_handler(Events.ITERATION_STARTED, self._restore_random_state)

    def run(self) -> None:
        """Train to ``max_epochs``, from where a loaded state left off."""
        if self.state.epoch >= self.state.max_epochs and self._position() == 0:
            logger.info(
                f"nothing to do: already trained for {self.state.epoch} of {self.state.max_epochs} epochs; "
                "raise --max_epochs to train on."
            )
            return
        # MONAI's Trainer.run would put a fresh scaler in the place of a resumed one: go straight to its Workflow
        super(Trainer, self).run()

    def state_dict(self) -> dict[str, object]:
        """Position and random state; tensors, numbers and strings only."""
        state: dict[str, object] = {
            "epoch": self.state.epoch,
            "iteration": self.state.iteration,
            "epoch_length": self.state.epoch_length,
            "scaler": self.scaler.state_dict(),
            "random_state": torch.get_rng_state(),
        }
        if self.state.device.type == "cuda":
            state["cuda_random_state"] = torch.cuda.get_rng_state(self.state.device)
        return state

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Resume from :meth:`state_dict`.

        Raises:
            InputError: if an epoch has another length now: another batch size or other data.
        """
        if state["epoch_length"] != self.state.epoch_length:
            raise InputError(
                f"cannot resume: the checkpoint's epochs have {state['epoch_length']} iterations, these have "
                f"{self.state.epoch_length}; use the same data and batch size, or start again without --resume."
            )
        self.state.epoch, self.state.iteration = state["epoch"], state["iteration"]
        if self._position():
            self.state.epoch -= 1  # Ignite counts the epoch again when it goes on with it
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self._random_state = state["random_state"]
        if "cuda_random_state" in state and self.state.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_random_state"], self.state.device)

    def _position(self) -> int:
        """Iterations done of an unfinished epoch."""
        return self.state.iteration % self.state.epoch_length

    def _set_sampler_epoch(self, engine: StageTrainer, sampler: EpochSampler) -> None:
        sampler.epoch = self.state.epoch
        sampler.start = self._position() * self.data_loader.batch_size

    def _set_dataset_epoch(self, engine: StageTrainer, dataset: OASISSliceDataset | CodeDataset) -> None:
        dataset.epoch = self.state.epoch

    def _restore_random_state(self, engine: StageTrainer) -> None:
        if self._random_state is not None:
            torch.set_rng_state(self._random_state)
            self._random_state = None

    def _iteration(self, engine: StageTrainer, batchdata: Mapping[str, torch.Tensor]) -> list[dict[str, object]]:
        inputs, targets, args, kwargs = _four(
            self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)
        )
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.state.device.type, enabled=self.amp, **self.amp_kwargs):
            prediction = self.inferer(inputs, self.network, *args, **kwargs)
            loss = self.loss_function(prediction, targets)
        if not torch.isfinite(loss):
            position = (self.state.iteration - 1) % self.state.epoch_length + 1
            raise NonFiniteLossError(
                f"the loss became {loss.item()} in epoch {self.state.epoch}, iteration {position} of "
                f"{self.state.epoch_length}; no step was made with it. Lower the learning rate, set max_grad_norm, "
                "or look at the data."
            )
        self.scaler.scale(loss).backward()
        if self.max_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # a list of one: the form of decollated output, which MONAI's from_engine and MLflow tracking take apart
        return [{Keys.IMAGE: inputs, Keys.LABEL: targets, Keys.PRED: prediction, Keys.LOSS: loss.detach()}]


def _four(batch: tuple) -> tuple:
    return batch if len(batch) == 4 else (*batch, (), {})
