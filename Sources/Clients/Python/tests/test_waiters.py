"""Tasks that wait for something to be there."""

import asyncio
import unittest

from hostcall._waiters import Waiters

from .support import soon


class WaitersTests(unittest.IsolatedAsyncioTestCase):
    async def begin(self, waiters: Waiters, number: int) -> "list[asyncio.Task[None]]":
        tasks = [asyncio.ensure_future(waiters.wait()) for _ in range(number)]
        # One turn of the loop, in which each takes its place.
        await asyncio.sleep(0)
        return tasks

    async def test_they_are_woken_one_by_one_in_their_order_or_all_at_once(self) -> None:
        waiters = Waiters()
        waiters.wake_one()
        tasks = await self.begin(waiters, 4)
        waiters.wake_one()
        await soon(tasks[0])
        self.assertFalse(any(task.done() for task in tasks[1:]))
        waiters.wake_all()
        await soon(asyncio.gather(*tasks))

    async def test_one_that_is_cancelled_gives_its_turn_to_the_next(self) -> None:
        waiters = Waiters()
        tasks = await self.begin(waiters, 3)
        tasks[0].cancel()
        waiters.wake_one()
        # This one was woken and cancelled before it went on.
        tasks[1].cancel()
        await soon(tasks[2])
        for task in tasks[:2]:
            with self.assertRaises(asyncio.CancelledError):
                await task
