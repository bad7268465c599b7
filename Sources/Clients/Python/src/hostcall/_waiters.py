"""Tasks that wait until there is something for them."""

import asyncio
from collections import deque
from typing import Deque


class Waiters:
    """Tasks that wait for something to be there, in their order. Loop thread only."""

    def __init__(self) -> None:
        self._futures: "Deque[asyncio.Future[None]]" = deque()

    async def wait(self) -> None:
        """Waits to be woken; whoever is looks again whether there is something, for another may have taken it."""
        woken: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()
        self._futures.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if woken.done() and not woken.cancelled():
                # It was to take something, and the next one may.
                self.wake_one()
            raise
        finally:
            if woken in self._futures:
                self._futures.remove(woken)

    def wake_one(self) -> None:
        """There is something for one of them."""
        while self._futures:
            woken = self._futures.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    def wake_all(self) -> None:
        """There is something for each of them, such as the end."""
        for woken in self._futures:
            if not woken.done():
                woken.set_result(None)
