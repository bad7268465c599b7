"""The items of one stream on their way out and in (protocol section 4, *Streams*). Loop thread only."""

import asyncio
from collections import deque
from typing import Callable, Deque, Optional

from ._errors import HostcallError, status_error
from ._link import Link
from ._payload import Item, item_from_wire
from ._waiters import Waiters
from ._wire import Flags, Frame, Kind, ProtocolViolation, Status, encode


class ItemReceiver:
    """Items on their way to their reader, bounded by the credit that was given for them.

    The connection puts items in and ends the stream; readers, usually one, take them out in order, and that gives new
    credit. Items that came before the end are taken before it.
    """

    def __init__(self, window: int, credit: int, grant: Callable[[int], None]) -> None:
        """`window` items may be on their way, `credit` of them were granted to begin with; `grant` grants more."""
        self._window = window
        self._credit = credit
        self._grant = grant
        self._items: Deque[Item] = deque()
        self._next_place = 0
        self._has_ended = False
        self._error: Optional[HostcallError] = None
        self._is_dropping = False
        self._is_abandoned = False
        self._waiters = Waiters()
        self._drained: "Optional[asyncio.Future[None]]" = None

    def put(self, frame: Frame) -> None:
        """ITEM has come. Raises ProtocolViolation where it is without credit, out of order, or after the last.

        An empty item with LAST is only the end and takes no credit.
        """
        if self._is_abandoned:
            return
        if self._has_ended:
            if self._error is not None:
                return
            raise ProtocolViolation("ITEM after the last one")
        is_last = bool(frame.flags & Flags.LAST)
        if frame.aux != self._next_place & 0xFFFFFFFF:
            raise ProtocolViolation(f"ITEM at the place {frame.aux}, not {self._next_place & 0xFFFFFFFF}")
        if not (is_last and not frame.payload):
            if self._credit == 0:
                raise ProtocolViolation("ITEM without credit")
            self._credit -= 1
            self._next_place += 1
            if self._is_dropping:
                self._grant_due()
            else:
                self._items.append(item_from_wire(frame.payload, frame.encoding))
                self._waiters.wake_one()
        if is_last:
            self.end(None)

    def end(self, error: Optional[HostcallError]) -> None:
        """No more items come: the stream is complete, or what it belongs to has ended with an error."""
        if self._has_ended:
            return
        self._has_ended = True
        self._error = error
        self._waiters.wake_all()
        self._tell_drained()

    async def drained(self) -> None:
        """Waits until no item is left and none follows; takes none."""
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
            self._tell_drained()
        await asyncio.shield(self._drained)

    def _tell_drained(self) -> None:
        if self._drained is not None and self._has_ended and not self._items and not self._drained.done():
            self._drained.set_result(None)

    async def next(self) -> Optional[Item]:
        """The next item, None at the end. Raises the error that the stream ended with."""
        while True:
            if self._items:
                item = self._items.popleft()
                self._grant_due()
                self._tell_drained()
                return item
            if self._has_ended:
                if self._error is not None:
                    raise self._error._about(None)
                return None
            self._grant_due()
            await self._waiters.wait()

    def drop_rest(self) -> None:
        """Drops what is there and what comes: it counts as taken, so the stream runs to its end."""
        if not self._is_dropping and not self._is_abandoned:
            self._is_dropping = True
            self._items.clear()
            self._grant_due()
            self._tell_drained()

    def abandon(self) -> None:
        """Drops what is there and grants nothing any more; what still comes is passed over."""
        self._is_abandoned = True
        self._items.clear()
        self._tell_drained()

    def _grant_due(self) -> None:
        """Grants what the window has room for, once that is half of it."""
        if self._has_ended or self._is_abandoned:
            return
        room = self._window - len(self._items) - self._credit
        if room >= (self._window + 1) // 2:
            self._credit += room
            self._grant(room)


class ItemSender:
    """Items on their way out, no more of them than there is credit for.

    Who sends waits while there is no credit, and while the daemon does not read. Several tasks may send; they wait in
    order.
    """

    def __init__(self, credit: int) -> None:
        self._credit = credit
        self._link: Optional[Link] = None
        self._id = 0
        self._next_place = 0
        self._error: Optional[HostcallError] = None
        self._waiters: "Deque[asyncio.Future[None]]" = deque()

    def open(self, link: Link, id: int) -> None:
        """The call is on its way by this connection, with this id."""
        self._link = link
        self._id = id

    def add_credit(self, items: int) -> None:
        """CREDIT has come."""
        self._credit += items
        self.release()

    def end(self, error: HostcallError) -> None:
        """No more items can be sent; who waits or comes later gets the error."""
        if self._error is None:
            self._error = error
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def release(self) -> None:
        """Lets those send who may now; each of them has spent a credit."""
        while self._waiters and self._may_send():
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._credit -= 1
                waiter.set_result(None)

    def _may_send(self) -> bool:
        link = self._link
        if self._credit == 0 or link is None:
            return False
        if link.is_held:
            link.held_senders[self] = None
            return False
        return True

    async def send(self, payload: bytes, encoding: int) -> None:
        """Waits until an item may be sent, and writes it. Raises the error that the stream ended with."""
        await self._wait_for_turn()
        assert self._link is not None
        self._write(payload, encoding, Flags.NONE)
        self._next_place += 1

    def send_end(self) -> None:
        """No more items follow: an empty item with LAST, which needs no credit."""
        if self._error is None and self._link is not None:
            self._write(b"", 0, Flags.LAST)

    def _write(self, payload: bytes, encoding: int, flags: int) -> None:
        assert self._link is not None
        place = self._next_place & 0xFFFFFFFF
        self._link.write(encode(Kind.ITEM, self._id, flags=flags, encoding=encoding, aux=place, payload=payload))

    async def _wait_for_turn(self) -> None:
        if self._error is None and not self._waiters and self._may_send():
            self._credit -= 1
            return
        if self._error is None:
            waiter: "asyncio.Future[None]" = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self.release()
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif waiter.done() and not waiter.cancelled() and self._error is None:
                    # It had its turn, and the next one may have it.
                    self.add_credit(1)
                raise
        if self._error is not None:
            raise self._error._about(None)


def item_too_large(bytes_: int, largest_frame_bytes: int) -> HostcallError:
    """An item that came is larger than this client takes."""
    return status_error(
        Status.TOO_LARGE,
        f"an item has {bytes_} bytes, and this client takes {largest_frame_bytes} at most (largest_frame_bytes)",
    )
