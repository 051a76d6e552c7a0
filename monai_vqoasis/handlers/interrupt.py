"""Ctrl-C as a way to stop, not to lose."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

import ignite.distributed as idist
from ignite.engine import Engine, Events

__all__ = ["StopOnInterrupt"]

logger = logging.getLogger(__name__)


class StopOnInterrupt:
    """On Ctrl-C (SIGINT) finishes the current iteration and ends the run, so that its state can be saved.

    After the last iteration of an epoch the epoch is completed first, validation included, as it would not be made up
    for when the run resumes. A second Ctrl-C stops at once. Several processes stop after the same iteration, also where
    the signal reached some of them only. Outside the main thread, where Python delivers no signals, it does nothing.

    ``engine.state.interrupted`` says whether the run was stopped so, which ends like one that is through.
    """

    def attach(self, engine: Engine) -> None:
        engine.state.interrupted = False
        if threading.current_thread() is threading.main_thread():
            engine.add_event_handler(Events.STARTED, self._install)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop_inside_epoch)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._stop_after_epoch)
            engine.add_event_handler(Events.COMPLETED, self._restore)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._restore_and_raise)

    def _install(self, engine: Engine) -> None:
        engine.state.interrupted = False
        self._previous = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: FrameType | None) -> None:
            logger.info("stopping after this iteration; Ctrl-C again stops at once. Go on later with --resume true.")
            signal.signal(signal.SIGINT, self._previous)
            engine.state.interrupted = True

        signal.signal(signal.SIGINT, stop)

    def _stop_inside_epoch(self, engine: Engine) -> None:
        engine.state.interrupted = bool(idist.all_reduce(int(engine.state.interrupted), "MAX"))
        if engine.state.interrupted and engine.state.iteration % engine.state.epoch_length:
            engine.terminate()

    def _stop_after_epoch(self, engine: Engine) -> None:
        if engine.state.interrupted:
            engine.terminate()

    def _restore(self, engine: Engine) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _restore_and_raise(self, engine: Engine, error: BaseException) -> None:
        self._restore(engine)
        raise error
