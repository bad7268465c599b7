"""The result items of a call as they come, and then its outcome; and the arguments on their way out."""

import asyncio
from typing import Any, AsyncIterable, Iterable, Optional, Union

from ._background import ends_loop
from ._errors import HostcallError, status_error
from ._payload import Item, Payload, Reply, wire_payload
from ._requests import OutgoingCall
from ._wire import Status

Arguments = Union[AsyncIterable[Payload], Iterable[Payload]]
"""The argument items of a call: anything that `async for` or `for` takes. A plain iterable is stepped through on the
loop, so it must not block."""


class Stream:
    """A call whose result items are taken as they come: `async for item in client.stream("numbers", b"10"): …`.

    The call begins at once. The worker sends only as many items ahead as the stream's window has room for, so a slow
    reader slows the worker, and nobody else. The loop ends when the call has succeeded, and raises HostcallError when
    it has not; items that came before are handed out first. Leaving the loop early, leaving an `async with`, cancelling
    the task that waits, or letting go of the stream cancels the call, also in the worker. Used on the loop of its
    client.
    """

    def __init__(self, call: OutgoingCall, loop: asyncio.AbstractEventLoop, arguments: Optional[Arguments]) -> None:
        assert call.results is not None
        self._call = call
        self._loop = loop
        self._items = call.results
        self._outcome: "asyncio.Future[Reply]" = loop.create_future()
        begin(call, self._outcome, feed(call, arguments))

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Item:
        try:
            item = await self._items.next()
        except asyncio.CancelledError:
            self.close()
            raise
        if item is None:
            raise StopAsyncIteration
        return item

    async def reply(self) -> Reply:
        """The call's result, once it has ended: what the function returned after its last item.

        Drops the items that nobody has taken, so it may be all that is wanted of a stream. Raises HostcallError as the
        loop does.
        """
        self._items.drop_rest()
        try:
            return await asyncio.shield(self._outcome)
        except asyncio.CancelledError:
            self.close()
            raise

    async def drained(self) -> None:
        """Waits until the call has ended and all its items were taken; takes none, and raises nothing."""
        await self._items.drained()

    def close(self) -> None:
        """Takes no more items and cancels the call, if it has not ended. Doing it twice is fine."""
        self._items.abandon()
        self._call.cancel()

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Whoever left the loop has let go of it; any thread may be the one that notices.
        call = getattr(self, "_call", None)
        if call is None or call.has_ended:
            return
        try:
            self._loop.call_soon_threadsafe(_abandon, call)
        except RuntimeError:
            # The loop is closed, and the connection with it.
            pass


def _abandon(call: OutgoingCall) -> None:
    if call.results is not None:
        call.results.abandon()
    call.cancel()


def begin(call: OutgoingCall, outcome: "asyncio.Future[Reply]", feeding: "Optional[asyncio.Task[None]]") -> None:
    """Begins a call whose outcome goes into a future of the loop."""

    def when_ended(reply: Optional[Reply], error: Optional[HostcallError]) -> None:
        if feeding is not None:
            feeding.cancel()
        if outcome.done():
            return
        if error is None:
            assert reply is not None
            outcome.set_result(reply)
        else:
            outcome.set_exception(error)
            # A stream tells its error by its items, and its outcome may interest nobody.
            outcome.exception()

    call.begin(when_ended)


def feed(call: OutgoingCall, arguments: Optional[Arguments]) -> "Optional[asyncio.Task[None]]":
    """Starts the task that sends the arguments of a call that has some."""
    if arguments is None:
        return None
    if not hasattr(arguments, "__aiter__"):
        check_iterable(arguments)
    return asyncio.get_running_loop().create_task(_feed(call, arguments))


def check_iterable(arguments: object) -> None:
    """Raises TypeError for what is no iterable of payloads; one payload is none, though `for` would take it."""
    if isinstance(arguments, (str, bytes, bytearray, memoryview)) or not hasattr(arguments, "__iter__"):
        raise TypeError(f"arguments are an iterable of payloads, and {type(arguments).__name__} is none")


async def _feed(call: OutgoingCall, arguments: Any) -> None:
    """Sends the elements of an iterable as argument items, until it or the call ends.

    It is asked for an element as soon as the one before it has left: only so is its end told to a worker that gives no
    credit for nothing. An error of the iterable cancels the call, which then ends with that error as its cause.
    """
    sender = call.arguments
    assert sender is not None
    iterator = arguments.__aiter__() if hasattr(arguments, "__aiter__") else _stepped(arguments)
    try:
        while True:
            try:
                element = await iterator.__anext__()
                payload, encoding = wire_payload(element)
                call.check_argument(payload)
            except StopAsyncIteration:
                return call.end_arguments()
            except HostcallError as error:
                return call.cancel(error)
            except asyncio.CancelledError:
                raise
            except BaseException as cause:
                if ends_loop(cause):
                    raise
                reason = status_error(Status.CANCELLED, f"its arguments ended with an error: {cause}")
                reason.__cause__ = cause
                return call.cancel(reason)
            try:
                await sender.send(payload, encoding)
            except HostcallError:
                # The call is over, and whoever made it is told elsewhere.
                return
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


async def _stepped(elements: Iterable[Payload]) -> Any:
    for element in elements:
        yield element
