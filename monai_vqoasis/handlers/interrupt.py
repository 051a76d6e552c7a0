"""Ctrl-C as a way to stop, not to lose."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

from ignite.engine import Engine, Events

__all__ = ["StopOnInterrupt"]

logger = logging.getLogger(__name__)


class StopOnInterrupt:
    """On Ctrl-C (SIGINT) finishes the current iteration and ends the run, so that its state can be saved.

    A second Ctrl-C stops at once. Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def attach(self, engine: Engine) -> None:
        if threading.current_thread() is threading.main_thread():
            engine.add_event_handler(Events.STARTED, self._install)
            engine.add_event_handler(Events.COMPLETED, self._restore)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self._restore_and_raise)

    def _install(self, engine: Engine) -> None:
        self._previous = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: FrameType | None) -> None:
            logger.info("stopping after this iteration; Ctrl-C again stops at once. Go on later with --resume true.")
            signal.signal(signal.SIGINT, self._previous)
            engine.terminate()

        signal.signal(signal.SIGINT, stop)

    def _restore(self, engine: Engine) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _restore_and_raise(self, engine: Engine, error: BaseException) -> None:
        self._restore(engine)
        raise error
