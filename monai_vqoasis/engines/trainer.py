"""The trainer of both stages."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer, Trainer
from monai.utils.enums import CommonKeys as Keys

from monai_vqoasis.data import CodeDataset, EpochSampler, OASISSliceDataset
from monai_vqoasis.engines.random_state import get_random_states, set_random_state
from monai_vqoasis.errors import InputError, NonFiniteLossError

__all__ = ["StageTrainer"]

logger = logging.getLogger(__name__)


class StageTrainer(SupervisedTrainer):
    """MONAI's ``SupervisedTrainer`` with what a long training needs besides.

    A non-finite loss stops the run before the step; gradients can be clipped; mixed precision follows the device; a
    state (epoch, iteration, scaler, random numbers) is saved and resumed at any iteration, the order of the data and
    their random transforms included where the loader uses an :class:`EpochSampler` and a dataset that is told its
    ``epoch`` (:class:`OASISSliceDataset`, :class:`CodeDataset`).

    The same seed and data give the same weights on the same CPU with the same number of threads, and a resumed run
    ends with those of one that was never stopped. On CUDA that is not promised: some of cuDNN's and PyTorch's kernels
    add in an order that varies.

    Under ``torch.distributed``, with the network in ``DistributedDataParallel``, processes take the step that one would
    take on the joined batch, uneven or not; the loss is that of the joined batch in all of them.

    ``state.best_path`` is where a ``TrainingCheckpoint`` has kept the best network, None as long as there is none.

    Args:
        max_grad_norm: largest total gradient norm; None does not clip.
        kwargs: arguments of ``SupervisedTrainer``; ``amp`` is float16 with a scaled loss on CUDA and bfloat16 on a
            CPU, where it pays if the CPU multiplies bfloat16 matrices (AMX).
    """

    def __init__(self, max_grad_norm: float | None = None, **kwargs: object) -> None:
        kwargs.setdefault("decollate", False)
        # a handler may load a checkpoint when it is attached: everything that it fills must be there before
        handlers = kwargs.pop("train_handlers", None)
        super().__init__(**kwargs)
        self.max_grad_norm = max_grad_norm
        self.state.best_path = None
        # bfloat16 has the range of float32: nothing to scale
        self.scaler = torch.amp.GradScaler(
            self.state.device.type, enabled=self.amp and self.state.device.type == "cuda"
        )
        self._random_state: Mapping[str, object] | None = None
        sampler = getattr(self.data_loader, "sampler", None)
        if isinstance(sampler, EpochSampler):
            self.add_event_handler(Events.EPOCH_STARTED, self._set_sampler_epoch, sampler)
        dataset = getattr(self.data_loader, "dataset", None)
        if hasattr(dataset, "epoch"):
            self.add_event_handler(Events.EPOCH_STARTED, self._set_dataset_epoch, dataset)
        self.add_event_handler(Events.STARTED, self._restore_random_state)
        if handlers:
            self._register_handlers(handlers)

    def run(self) -> None:
        """Train to ``max_epochs``, from where a loaded state left off."""
        if self.state.epoch >= self.state.max_epochs:
            logger.info(
                f"nothing to do: already trained for {self.state.epoch} of {self.state.max_epochs} epochs; "
                "raise --max_epochs to train on."
            )
            return
        # MONAI's Trainer.run would put a fresh scaler in the place of a resumed one: go straight to its Workflow
        super(Trainer, self).run()

    def state_dict(self) -> dict[str, object]:
        """Position and random states; tensors, numbers and strings only. All processes must ask for it together."""
        return {
            "epoch": self.state.epoch,
            "iteration": self.state.iteration,
            "epoch_length": self.state.epoch_length,
            "scaler": self.scaler.state_dict(),
            "random_states": get_random_states(self.state.device),
        }

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
        states, rank = state["random_states"], idist.get_rank()
        # a process more than when it was saved goes on with its own
        self._random_state = states[rank] if rank < len(states) else None

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
            set_random_state(self._random_state, self.state.device)
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
        joined_loss, weight = _over_processes(loss.detach(), len(targets))
        if not torch.isfinite(joined_loss):
            position = (self.state.iteration - 1) % self.state.epoch_length + 1
            raise NonFiniteLossError(
                f"the loss became {joined_loss.item()} in epoch {self.state.epoch}, iteration {position} of "
                f"{self.state.epoch_length}; no step was made with it. Lower the learning rate, set max_grad_norm, "
                "or look at the data."
            )
        self.scaler.scale(loss * weight).backward()
        if self.max_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # a list of one: the form of decollated output, which MONAI's from_engine and MLflow tracking take apart
        return [{Keys.IMAGE: inputs, Keys.LABEL: targets, Keys.PRED: prediction, Keys.LOSS: joined_loss}]


def _over_processes(loss: torch.Tensor, items: int) -> tuple[torch.Tensor, float]:
    """Mean loss of the joined batch, and the weight of this process's: its share of the items, 1 where all are even."""
    if idist.get_world_size() == 1:
        return loss, 1.0
    total, items_of_all = idist.all_reduce(torch.stack([loss.double() * items, loss.new_tensor(items).double()]))
    return (total / items_of_all).to(loss.dtype), items * idist.get_world_size() / float(items_of_all)


def _four(batch: tuple) -> tuple:
    return batch if len(batch) == 4 else (*batch, (), {})
