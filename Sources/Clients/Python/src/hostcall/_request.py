"""A call as its handler gets it."""

import threading
import time
from typing import TYPE_CHECKING, Any, AsyncIterator, Dict, Iterator, Mapping, NamedTuple, Optional, cast

from ._context import Context
from ._errors import InvalidArgument, TooLarge
from ._payload import Content, Item, Payload, wire_payload
from ._wire import ENCODINGS, Flags, Frame, Status

if TYPE_CHECKING:
    from . import sync
    from ._client import Client
    from ._serving import Running


class Caller(NamedTuple):
    """The process at the other end of a call; the daemon vouches for it."""

    user_id: int
    """Its effective user when it connected."""
    group_id: int
    """Its effective group when it connected."""
    process_id: int
    """The process that connected. The number may since have been given to another process."""
    session: int
    """The number of its connection in this run of the daemon."""


class AnyRequest(Content):
    """What requests of async functions and of plain ones have in common."""

    __slots__ = ("function", "metadata", "correlation_id", "deadline", "is_idempotent", "_running")

    def __init__(self, frame: Frame, function: str, running: "Running") -> None:
        self.payload = frame.payload
        self.encoding = ENCODINGS[frame.encoding]
        self.function = function
        """The name that was called. Where a pattern was registered it is the full name, not the pattern."""
        self.metadata: Mapping[str, str] = frame.metadata
        """What the caller sent beside the argument, and what the daemon added."""
        self.correlation_id = frame.id
        """The number by which caller, logs and tools know the call."""
        self.deadline = time.monotonic() + frame.timeout / 1000
        """When the call ends by itself, on the clock of `time.monotonic()`, in seconds."""
        self.is_idempotent = bool(frame.flags & Flags.IDEMPOTENT)
        """Whether the call may have been sent to a worker before, and may be again."""
        self._running = running

    @property
    def time_left(self) -> float:
        """Seconds until the deadline, 0 once it has passed."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def caller(self) -> Optional[Caller]:
        """Who called, if the function was registered with `caller=True`."""
        names = ("uid", "gid", "pid", "session")
        values: Dict[str, Any] = {name: self.metadata.get(f"hostcall-caller-{name}") for name in names}
        try:
            return Caller(*(int(values[name]) for name in names))
        except (TypeError, ValueError):
            return None

    @property
    def context(self) -> Context:
        """What calls made on behalf of this one inherit. Handlers have it already; see `hostcall.inherit`."""
        metadata = self.metadata
        if not metadata:
            return Context(self.correlation_id, self.deadline)
        return Context(self.correlation_id, self.deadline, metadata.get("traceparent"), metadata.get("tracestate"))

    @property
    def takes_items(self) -> bool:
        """Whether the caller takes result items: it does where it called by `stream`, and not where by `call`."""
        return self._running.results is not None

    @property
    def has_ended(self) -> bool:
        """Whether the call is over already: whatever the handler comes to reaches nobody."""
        return self._running.was_cancelled

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.function} call={self.correlation_id} {len(self.payload)} bytes>"

    async def _send(self, payload: Payload, encoding: Optional[int]) -> None:
        results = self._running.results
        data, number = wire_payload(payload, encoding)
        if results is None:
            raise InvalidArgument(
                "the caller takes no items: it called by call, not by stream (see takes_items)",
                function=self.function, correlation_id=self.correlation_id,
            )
        largest = self._running.link.largest_body_bytes
        if len(data) > largest:
            raise TooLarge(
                f"the item has {len(data)} bytes, and the daemon takes {largest} at most (max-frame)",
                status=Status.TOO_LARGE, function=self.function, correlation_id=self.correlation_id,
            )
        await results.send(data, number)

    async def _next_argument(self) -> Optional[Item]:
        arguments = self._running.arguments
        return None if arguments is None else await arguments.next()


class Request(AnyRequest):
    """A call as an async function gets it. Used on the loop of its client.

    When the call ends before the function does (by its deadline, by its caller, with its caller or with the
    connection), the function's task is cancelled: CancelledError is raised where it waits.
    """

    __slots__ = ()

    @property
    def client(self) -> "Client":
        """The client that serves the call, for calls on behalf of it."""
        return self._running.client

    @property
    def arguments(self) -> "Arguments":
        """The argument items that the caller sends behind the payload; none of most calls.

        `async for item in request.arguments: …`. The caller may send only as many ahead as the worker's window has room
        for, and none before somebody begins to read. Raises the error that ends the call before its last argument.
        """
        return Arguments(self)

    async def send(self, payload: Payload, *, encoding: Optional[int] = None) -> None:
        """Sends a result item; waits while the caller does not take more.

        Returns when the item is on its way, not when it has arrived. Items arrive in the order in which they were sent,
        and before the result. Raises InvalidArgument where the caller takes no items, TooLarge, and the reason when the
        call has ended.
        """
        await self._send(payload, encoding)


class Arguments(AsyncIterator[Item]):
    """The argument items of a call; several tasks may read them, and each item goes to one."""

    def __init__(self, request: AnyRequest) -> None:
        self._request = request

    async def __anext__(self) -> Item:
        item = await self._request._next_argument()
        if item is None:
            raise StopAsyncIteration
        return item

    async def drained(self) -> None:
        """Waits until all items were taken and no more follow, or the call has ended; takes none."""
        arguments = self._request._running.arguments
        if arguments is not None:
            await arguments.drained()


class BlockingRequest(AnyRequest):
    """A call as a plain function gets it, in a thread of its own.

    The thread cannot be stopped from outside: a function that may take long looks at `cancelled` now and then.
    """

    __slots__ = ("cancelled",)

    def __init__(self, frame: Frame, function: str, running: "Running") -> None:
        super().__init__(frame, function, running)
        self.cancelled = threading.Event()
        """Set when the call has ended before the function has: by its deadline, by its caller, with its caller or with
        the connection. `if request.cancelled.wait(0.1): return`."""

    @property
    def client(self) -> "sync.Client":
        """The client that serves the call, for calls on behalf of it from this thread.

        Calls and streams by it that are under way when this call ends are cancelled with it, and raise why it ended;
        what is called after that, to leave things in order, is not.
        """
        from . import sync

        return sync.Client(self._running.client, self._running.loop, self._running.calls)

    @property
    def arguments(self) -> Iterator[Item]:
        """The argument items that the caller sends behind the payload; `for item in request.arguments: …`."""
        while True:
            item = cast(Optional[Item], self._running.wait_for(self._next_argument()))
            if item is None:
                return
            yield item

    def send(self, payload: Payload, *, encoding: Optional[int] = None) -> None:
        """Sends a result item; waits while the caller does not take more. As `Request.send`, but for threads."""
        self._running.wait_for(self._send(payload, encoding))
