"""The thread with an event loop that all synchronous clients of the process share."""

import asyncio
import concurrent.futures
import logging
import os
import threading
from typing import Any, Optional, Set

from ._errors import Closed

logger = logging.getLogger("hostcall")


class BackgroundLoop(asyncio.SelectorEventLoop):
    """A loop in a thread of its own, and those in other threads who wait for it.

    Others depend on it, so it outlives what functions of users raise there, SystemExit too, and goes on when it is
    stopped. Where it cannot, whoever waits is told so.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._waiting: "Set[concurrent.futures.Future[Any]]" = set()
        self._end: Optional[Closed] = None
        threading.Thread(target=self._run, name="hostcall loop", daemon=True).start()

    @property
    def has_ended(self) -> bool:
        """Whether nothing that is handed to it is done any more."""
        return self._end is not None

    def awaited(self, future: "concurrent.futures.Future[Any]") -> None:
        """Somebody is about to wait for the future, which fails where the loop ends first. Any thread."""
        with self._lock:
            if self._end is None:
                self._waiting.add(future)
        if self._end is None:
            future.add_done_callback(self._waiting.discard)
        else:
            _fail(future, self._end)

    def _run(self) -> None:
        failure: Optional[Exception] = None
        while failure is None:
            try:
                self.run_forever()
                logger.error("the background loop of hostcall.sync was stopped, and goes on")
            except Exception as error:
                # That is the loop itself: what it runs raises there only what is below.
                logger.error("the background loop of hostcall.sync has failed", exc_info=error)
                failure = error
            except BaseException as error:
                logger.error("this does not end the background loop of hostcall.sync", exc_info=error)
        reason = str(failure) or type(failure).__name__
        with self._lock:
            self._end = Closed(f"the background loop of hostcall.sync has ended: {reason} (connect anew)")
            waiting = list(self._waiting)
        for future in waiting:
            _fail(future, self._end)


def _fail(future: "concurrent.futures.Future[Any]", error: Closed) -> None:
    try:
        future.set_exception(error._about(None))
    except concurrent.futures.InvalidStateError:
        # It has ended just now.
        pass


def ends_loop(error: BaseException) -> bool:
    """Whether what a user's function raised on the running loop has to be passed on to the loop.

    SystemExit and KeyboardInterrupt are to end a loop of the program's own, and not the one in the background.
    """
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return not isinstance(asyncio.get_running_loop(), BackgroundLoop)
    return isinstance(error, GeneratorExit)


class Background:
    """The loop, made at the first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Optional[BackgroundLoop] = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        # Threads do not follow into a forked process, and one of them may have held the lock.
        self._lock = threading.Lock()
        self._loop = None

    def loop(self) -> BackgroundLoop:
        """The loop that runs; another one than before where that has ended."""
        with self._lock:
            if self._loop is None or self._loop.has_ended:
                self._loop = BackgroundLoop()
            return self._loop
