"""A program's way to its daemon, for asyncio."""

import asyncio
from typing import Generator, Mapping, NoReturn, Optional

from ._connection import Connection
from ._errors import HostcallError
from ._events import EventBuffer, Events
from ._handlers import Handler
from ._limits import Limits, Reconnect
from ._link import ServerInformation
from ._payload import Payload, Reply
from ._phase import Phase
from ._registration import Registration
from ._requests import OutgoingCall, pattern_name
from ._socket import SocketPath, socket_location
from ._stream import Arguments, Stream, begin, feed
from ._subscriptions import Publication
from ._timeouts import Seconds


class Client:
    """Calls host functions, registers its own, and publishes and reads events. Made by `hostcall.connect`.

    It belongs to the event loop on which it was connected, and is used there alone; `hostcall.sync` is for other
    threads. Leaving `async with` closes it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.client = self

    # Calling

    async def call(
        self, function: str, payload: Payload = b"", *, encoding: Optional[int] = None,
        timeout: Optional[Seconds] = None, metadata: Optional[Mapping[str, str]] = None, wait: bool = False,
        idempotent: bool = False, arguments: Optional[Arguments] = None,
    ) -> Reply:
        """Calls a host function and waits for its outcome (protocol section 4, *Calling*).

        Cancelling the task that awaits this cancels the call, also in the worker, so `asyncio.wait_for` and
        `asyncio.timeout` do what they should. Inside a handler the call inherits what is left of the handler's time,
        and its trace.

        - `function`: the name, such as `token.fetch`.
        - `payload`: the argument: bytes, str, or `JSON(value)`.
        - `encoding`: what the payload's bytes are, if not what its type says.
        - `timeout`: how long it may take in all, in seconds or as a timedelta, rounded up to milliseconds; None for the
          daemon's default (30 seconds).
        - `metadata`: goes to the worker. Keys that begin with `hostcall-` are refused.
        - `wait`: where nobody has registered the name, wait for somebody until the deadline.
        - `idempotent`: it may run more than once: if its worker is lost, it is sent to another one.
        - `arguments`: an iterable or async iterable of items that follow the payload, sent as the function takes them.

        Raises a HostcallError of the class that its status has, ConnectionLost at once if the connection ends,
        CannotConnect if there is none and none can be made, InvalidArgument, TypeError or ValueError where the call
        cannot be.
        """
        call = OutgoingCall(
            self._connection, function, payload, encoding=encoding, timeout=timeout, metadata=metadata, wait=wait,
            idempotent=idempotent, has_arguments=arguments is not None,
        )
        outcome: "asyncio.Future[Reply]" = self._connection.loop.create_future()
        begin(call, outcome, None if arguments is None else feed(call, arguments))
        try:
            return await outcome
        except asyncio.CancelledError:
            call.cancel()
            raise

    async def send(
        self, function: str, payload: Payload = b"", *, encoding: Optional[int] = None,
        timeout: Optional[Seconds] = None, metadata: Optional[Mapping[str, str]] = None, wait: bool = False,
        idempotent: bool = False,
    ) -> None:
        """Calls a host function and wants no answer, whatever happens (protocol section 5, NO_REPLY).

        Returns when the call is on its way to the daemon. Parameters and errors are those of `call`; the errors are
        about sending alone.
        """
        call = OutgoingCall(
            self._connection, function, payload, encoding=encoding, timeout=timeout, metadata=metadata, wait=wait,
            idempotent=idempotent, wants_reply=False,
        )
        outcome: "asyncio.Future[Reply]" = self._connection.loop.create_future()
        begin(call, outcome, None)
        try:
            await outcome
        except asyncio.CancelledError:
            call.cancel()
            raise

    def stream(
        self, function: str, payload: Payload = b"", *, window: Optional[int] = None, encoding: Optional[int] = None,
        timeout: Optional[Seconds] = None, metadata: Optional[Mapping[str, str]] = None, wait: bool = False,
        idempotent: bool = False, arguments: Optional[Arguments] = None,
    ) -> Stream:
        """Calls a host function and takes result items as they come (protocol section 4, *Streams*).

        `async for item in client.stream("numbers", b"10"): print(item.text)`. Leaving the loop cancels the call.

        - `window`: how many items may be on their way, 1 to 1,048,576; the client's `item_window` (32) unless given.

        Other parameters, and errors, are those of `call`.
        """
        call = OutgoingCall(
            self._connection, function, payload, encoding=encoding, timeout=timeout, metadata=metadata, wait=wait,
            idempotent=idempotent, has_arguments=arguments is not None,
            window=self._connection.limits.item_window if window is None else window,
        )
        return Stream(call, self._connection.loop, arguments)

    # Events

    def events(self, pattern: str) -> Events:
        """The events of a name or pattern (protocol section 4, *Events*).

        `async for event in client.events("door.*"): print(event.name, event.text)`. The pattern is a name, such as
        `door.opened`, or everything below one, `door.*`, or `*`; the daemon's own events are below `hostcall.`. At most
        `waiting_events` of the client's limits wait to be taken; past that the oldest are dropped, and the next event
        says how many. Subscribing raises InvalidArgument, Denied, Overloaded, ConnectionLost.
        """
        pattern_name(pattern)
        limits = self._connection.limits
        buffer = EventBuffer(limits.waiting_events, limits.waiting_event_bytes)
        return Events(self._connection.subscriptions, pattern, buffer)

    async def publish(
        self, name: str, payload: Payload = b"", *, encoding: Optional[int] = None,
        metadata: Optional[Mapping[str, str]] = None, confirm: bool = True,
    ) -> int:
        """Publishes an event; gives back how many subscribers there were.

        It reaches those who have subscribed by now, in the order in which this client publishes. A subscriber that is
        too slow may lose it.

        - `confirm`: wait for the daemon's answer. Without, this returns 0 when the event is on its way to the daemon,
          which may refuse it without a word.

        Raises InvalidArgument, Denied, TooLarge, Overloaded, ConnectionLost.
        """
        publication = Publication(
            self._connection, name, payload, encoding=encoding, metadata=metadata, wants_answer=confirm
        )
        outcome: "asyncio.Future[int]" = self._connection.loop.create_future()

        def when_ended(subscribers: int, error: Optional[HostcallError]) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(subscribers)
            else:
                outcome.set_exception(error)

        publication.begin(when_ended)
        return await outcome

    # Serving

    async def register(
        self, name: str, handler: Handler, *, concurrency: int = 0, mode: str = "shared",
        timeout: Optional[Seconds] = None, idempotent: bool = False, caller: bool = False,
    ) -> Registration:
        """Registers a host function (protocol section 4, *Registering*); returns when calls of it can come.

        An async function runs as a task of its own for each call, with a Request; the task is cancelled when the call
        ends before it. A plain function runs in a thread, with a BlockingRequest. What it returns is the result: bytes,
        str, JSON(value), a Reply, or None; the items of an async generator, or generator, are those of a stream. What
        it raises is FAILED with the exception's text, or what a Failure says. The registration comes back by itself
        after a reconnect.

        - `name`: a name, or a pattern such as `files.*`.
        - `concurrency`: how many calls run at once; 0 for the daemon's default (64).
        - `mode`: `shared` joins others of that name; `exclusive` is refused if anyone has the name, and keeps everyone
          else out; `replace` takes all new and queued calls from those that had the name.
        - `timeout`: the longest that a call may run, in seconds or as a timedelta; None for the daemon's maximum.
        - `idempotent`: a call may be sent to another worker if this one is lost.
        - `caller`: requests say who called.

        Raises AlreadyRegistered, Denied, Overloaded, InvalidArgument, ConnectionLost.
        """
        return await self._connection.serving.register(
            name, handler, concurrency=concurrency, mode=mode, timeout=timeout, idempotent=idempotent, caller=caller
        )

    # The connection

    @property
    def socket_path(self) -> str:
        """The socket that the client connects to."""
        return self._connection.path

    @property
    def server(self) -> Optional[ServerInformation]:
        """What the daemon said about itself and the present connection; None while there is none."""
        link = self._connection.link
        return None if link is None else link.welcome

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed for good."""
        return self._connection.phase is Phase.CLOSED

    async def ping(self) -> float:
        """Asks the daemon for a sign of life; gives back how many seconds it took (protocol section 4, PING).

        The daemon handles the frames of a connection in order: when this returns, it has seen everything sent before.
        Raises ConnectionLost, Closed; it does not connect anew.
        """
        loop = self._connection.loop
        outcome: "asyncio.Future[None]" = loop.create_future()

        def answered(error: Optional[HostcallError]) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(error)

        began = loop.time()
        self._connection.ping(answered)
        await outcome
        return loop.time() - began

    async def close(self) -> None:
        """Closes at once: calls under way fail with Closed, running handlers are cancelled and their outcome is lost.

        What was sent before still leaves, as far as the socket takes it.
        """
        link = self._connection.link
        self._connection.close()
        if link is not None and link.is_open:
            await asyncio.shield(link.ended)

    async def shutdown(self) -> None:
        """Leaves in good order: takes no more calls, finishes those it has, sends their outcomes, and closes.

        Calls that handlers make still go out; other new ones fail with Closed. Returns when all that is done (protocol
        section 4, *Liveness and leaving*); `close` cuts it short.
        """
        link = self._connection.link
        self._connection.shut_down()
        await asyncio.shield(self._connection.closed)
        if link is not None and link.is_open:
            await asyncio.shield(link.ended)

    async def wait_closed(self) -> Optional[HostcallError]:
        """Waits until the client is closed for good.

        Gives back None where this program closed it or shut it down, otherwise why it ended: with `reconnect=None` that
        is the loss of its connection.
        """
        return await asyncio.shield(self._connection.closed)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<hostcall.Client {self.socket_path} {self._connection.phase.name.lower()}>"


class Connecting:
    """A client on its way: `client = await connect()`, or `async with connect() as client: …`, which closes it."""

    def __init__(
        self, path: Optional[SocketPath], client_name: Optional[str], limits: Limits, reconnect: Optional[Reconnect]
    ) -> None:
        self._path = path
        self._client_name = client_name
        self._limits = limits
        self._reconnect = reconnect
        self._client: Optional[Client] = None

    async def _connect(self) -> Client:
        connection = Connection(
            asyncio.get_running_loop(), socket_location(self._path), self._client_name, self._limits, self._reconnect
        )
        client = Client(connection)
        await connection.connect()
        return client

    def __await__(self) -> Generator[None, None, Client]:
        return self._connect().__await__()

    def __enter__(self) -> NoReturn:
        raise TypeError("use `async with hostcall.connect()`, or `with hostcall.sync.connect()`")

    def __exit__(self, *_: object) -> None:
        """Never comes about, for `__enter__` raises; without it Python would say that before."""

    async def __aenter__(self) -> Client:
        self._client = await self._connect()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()


def connect(
    socket_path: Optional[SocketPath] = None, *, client_name: Optional[str] = None, limits: Limits = Limits(),
    reconnect: Optional[Reconnect] = Reconnect(),
) -> Connecting:
    """Connects to the daemon: `async with hostcall.connect() as client: …`, or `client = await hostcall.connect()`.

    - `socket_path`: the daemon's socket; None for the default: `HOSTCALL_SOCKET`, else `hostcall.sock` in the first
      folder of `RUNTIME_DIRECTORY`, else in `XDG_RUNTIME_DIR`, else `/run/hostcall/hostcall.sock` for root.
    - `client_name`: who this is, for `hostcall peers` and the daemon's log; the program's name unless given.
    - `limits`: what the client bounds.
    - `reconnect`: how it connects again after its connection was lost; None for never: it is then closed.

    Raises CannotConnect, which says which socket was tried and what to do.
    """
    return Connecting(socket_path, client_name, limits, reconnect)
