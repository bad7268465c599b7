"""Threads for plain functions."""

import threading
from collections import deque
from typing import Callable, Deque


class HandlerThreads:
    """Runs what is submitted in threads, no more than `most` at once, of which each is used again.

    They are daemon threads: a function that never ends does not keep the program from ending. Any thread may submit;
    what is submitted must not raise.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._condition = threading.Condition()
        self._work: Deque[Callable[[], None]] = deque()
        self._threads = 0
        self._waiting = 0
        self._is_closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Runs the work in a thread, as soon as one is free.

        Raises RuntimeError where that takes a new thread and none can be started; the work is then not done.
        """
        with self._condition:
            self._work.append(work)
            # Those that wait have been told of work already where there is any.
            if self._waiting >= len(self._work) or self._threads == self._most:
                self._condition.notify()
                return
            self._threads += 1
            number = self._threads
        try:
            threading.Thread(target=self._run, name=f"hostcall {self._name} {number}", daemon=True).start()
        except (RuntimeError, MemoryError) as error:
            with self._condition:
                self._threads -= 1
                if work not in self._work:
                    # A thread that became free has taken it.
                    return
                self._work.remove(work)
            raise RuntimeError(f"no thread can be started: {error}") from error

    def close(self) -> None:
        """Ends the threads once they have done what was submitted; what comes after is still done."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._work:
                    if self._is_closed:
                        self._threads -= 1
                        return
                    self._waiting += 1
                    self._condition.wait()
                    self._waiting -= 1
                work = self._work.popleft()
            work()
            # Nothing of a call is kept while the thread waits for the next one.
            del work
