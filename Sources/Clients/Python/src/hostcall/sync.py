"""Hostcall for programs without asyncio: the same client, for any thread, whose methods wait.

    with hostcall.sync.connect() as client:
        print(client.call("token.fetch", "alice", timeout=1.0).text)
        for item in client.stream("numbers", "10"):
            print(item.text)

All clients of the process share one background thread with an event loop; functions that are registered run in threads
of their own. Names, parameters and errors are those of the asyncio client.
"""

import asyncio
import concurrent.futures
import functools
import os
from typing import Any, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Optional, Set, TypeVar

from ._background import Background, BackgroundLoop
from ._client import Client as AsyncClient
from ._client import connect as connect_async
from ._errors import Closed, HostcallError
from ._events import Event
from ._events import Events as AsyncEvents
from ._handlers import Handler
from ._limits import Limits, Reconnect
from ._link import ServerInformation
from ._payload import Item, Payload, Reply
from ._registration import Registration as AsyncRegistration
from ._requests import OutgoingCall
from ._socket import SocketPath
from ._stream import Stream as AsyncStream
from ._stream import check_iterable, feed
from ._threads import HandlerThreads
from ._timeouts import Seconds

_Value = TypeVar("_Value")


class Client:
    """A program's way to its daemon, for any thread, any number at a time. Made by `hostcall.sync.connect`.

    Leaving `with` closes it. Its methods wait, so they are not for code that runs on an event loop: they raise
    RuntimeError where they would hold up the loop that has to serve them. A forked process connects anew: there they
    raise Closed.
    """

    def __init__(
        self, client: AsyncClient, loop: asyncio.AbstractEventLoop, calls_of_handler: Optional[Set[OutgoingCall]] = None
    ) -> None:
        self._client = client
        self._loop = loop
        self._calls_of_handler = calls_of_handler

    def call(
        self, function: str, payload: Payload = b"", *, encoding: Optional[int] = None,
        timeout: Optional[Seconds] = None, metadata: Optional[Mapping[str, str]] = None, wait: bool = False,
        idempotent: bool = False, arguments: Optional[Iterable[Payload]] = None,
    ) -> Reply:
        """Calls a host function and waits for its outcome, as `hostcall.Client.call`.

        An exception that interrupts the wait, such as KeyboardInterrupt, cancels the call, also in the worker.
        `arguments` are stepped through in a thread of their own, which does not keep the program from ending.
        """
        call = OutgoingCall(
            self._client._connection, function, payload, encoding=encoding, timeout=timeout, metadata=metadata,
            wait=wait, idempotent=idempotent, has_arguments=arguments is not None,
        )
        return self._outcome(call, arguments)

    def send(
        self, function: str, payload: Payload = b"", *, encoding: Optional[int] = None,
        timeout: Optional[Seconds] = None, metadata: Optional[Mapping[str, str]] = None, wait: bool = False,
        idempotent: bool = False,
    ) -> None:
        """Calls a host function and wants no answer, as `hostcall.Client.send`."""
        call = OutgoingCall(
            self._client._connection, function, payload, encoding=encoding, timeout=timeout, metadata=metadata,
            wait=wait, idempotent=idempotent, wants_reply=False,
        )
        self._outcome(call, None)

    def _outcome(self, call: OutgoingCall, arguments: Optional[Iterable[Payload]]) -> Reply:
        self._refuse_other_process()
        _refuse_loop(self._loop)
        if arguments is not None:
            check_iterable(arguments)
        if self._calls_of_handler is not None:
            call.belong_to(self._calls_of_handler)
        outcome: "concurrent.futures.Future[Reply]" = concurrent.futures.Future()

        def begin() -> None:
            feeding = None if arguments is None else feed(call, _in_threads(arguments))

            def when_ended(reply: Optional[Reply], error: Optional[HostcallError]) -> None:
                if feeding is not None:
                    feeding.cancel()
                if error is not None:
                    outcome.set_exception(error)
                elif reply is not None:
                    outcome.set_result(reply)

            call.begin(when_ended)

        if isinstance(self._loop, BackgroundLoop):
            self._loop.awaited(outcome)
        self._loop.call_soon_threadsafe(begin)
        try:
            return outcome.result()
        except BaseException:
            if not outcome.done():
                self._loop.call_soon_threadsafe(call.cancel)
            raise

    def stream(
        self, function: str, payload: Payload = b"", *, window: Optional[int] = None, encoding: Optional[int] = None,
        timeout: Optional[Seconds] = None, metadata: Optional[Mapping[str, str]] = None, wait: bool = False,
        idempotent: bool = False, arguments: Optional[Iterable[Payload]] = None,
    ) -> "Stream":
        """Calls a host function and takes result items as they come, as `hostcall.Client.stream`."""
        call = OutgoingCall(
            self._client._connection, function, payload, encoding=encoding, timeout=timeout, metadata=metadata,
            wait=wait, idempotent=idempotent, has_arguments=arguments is not None,
            window=self._client._connection.limits.item_window if window is None else window,
        )

        if arguments is not None:
            check_iterable(arguments)
        if self._calls_of_handler is not None:
            call.belong_to(self._calls_of_handler)

        async def begin() -> AsyncStream:
            return AsyncStream(call, self._loop, None if arguments is None else _in_threads(arguments))

        return Stream(self, self._run(begin()))

    def events(self, pattern: str) -> "Events":
        """The events of a name or pattern, as `hostcall.Client.events`; returns when the daemon has subscribed."""

        async def begin() -> AsyncEvents:
            return await self._client.events(pattern)

        return Events(self, self._run(begin()))

    def publish(
        self, name: str, payload: Payload = b"", *, encoding: Optional[int] = None,
        metadata: Optional[Mapping[str, str]] = None, confirm: bool = True,
    ) -> int:
        """Publishes an event; gives back how many subscribers there were, as `hostcall.Client.publish`."""
        return self._run(self._client.publish(name, payload, encoding=encoding, metadata=metadata, confirm=confirm))

    def register(
        self, name: str, handler: Handler, *, concurrency: int = 0, mode: str = "shared",
        timeout: Optional[Seconds] = None, idempotent: bool = False, caller: bool = False,
    ) -> "Registration":
        """Registers a host function, as `hostcall.Client.register`. A plain function runs in threads of its own, an
        async one on the background loop."""
        registration = self._run(
            self._client.register(
                name, handler, concurrency=concurrency, mode=mode, timeout=timeout, idempotent=idempotent,
                caller=caller,
            )
        )
        return Registration(self, registration)

    @property
    def socket_path(self) -> str:
        """The socket that the client connects to."""
        return self._client.socket_path

    @property
    def server(self) -> Optional[ServerInformation]:
        """What the daemon said about itself and the present connection; None while there is none."""
        return self._client.server

    @property
    def is_closed(self) -> bool:
        """Whether the client is closed for good."""
        return self._client.is_closed

    def ping(self) -> float:
        """Asks the daemon for a sign of life; gives back how many seconds it took."""
        return self._run(self._client.ping())

    def close(self) -> None:
        """Closes at once: calls under way fail with Closed, running handlers are cancelled.

        In a process that was forked from the client's own this does nothing: the client is the other process's.
        """
        if not self._is_of_other_process:
            self._run(self._client.close())

    def shutdown(self) -> None:
        """Leaves in good order: takes no more calls, finishes those it has, sends their outcomes, and closes."""
        self._run(self._client.shutdown())

    def wait_closed(self) -> Optional[HostcallError]:
        """Waits until the client is closed for good, as `hostcall.Client.wait_closed`."""
        return self._run(self._client.wait_closed())

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).replace("hostcall.Client", "hostcall.sync.Client")

    def _run(self, work: "Coroutine[Any, Any, _Value]") -> _Value:
        try:
            self._refuse_other_process()
        except Closed:
            work.close()
            raise
        return _run_on(self._loop, work)

    @property
    def _is_of_other_process(self) -> bool:
        return self._client._connection.process_id != os.getpid()

    def _refuse_other_process(self) -> None:
        if self._is_of_other_process:
            raise Closed("this client was made in another process, from which this one was forked: connect anew")

    def _later(self, work: Callable[[], None]) -> None:
        if self._is_of_other_process:
            return
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            # The loop is closed, and everything on it is over.
            pass


class Stream(Iterator[Item]):
    """The result items of a call as they come: `for item in client.stream("numbers", "10"): …`.

    Leaving the loop early and letting go of it, leaving `with`, or `close` cancels the call, also in the worker. For
    one thread at a time.
    """

    def __init__(self, client: Client, stream: AsyncStream) -> None:
        self._client = client
        self._stream = stream

    def __next__(self) -> Item:
        try:
            return self._client._run(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def reply(self) -> Reply:
        """The call's result, once it has ended; drops the items that nobody has taken."""
        return self._client._run(self._stream.reply())

    def close(self) -> None:
        """Takes no more items and cancels the call, if it has not ended. Doing it twice is fine."""
        self._client._later(self._stream.close)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Events(Iterator[Event]):
    """The events of a name or pattern, as they come: `for event in client.events("door.*"): …`.

    Ends when its client is closed. Leaving the loop and letting go of it, leaving `with`, or `close` ends the
    subscription. For one thread at a time, but for `close`.
    """

    def __init__(self, client: Client, events: AsyncEvents) -> None:
        self._client = client
        self._events = events

    @property
    def pattern(self) -> str:
        """The name or pattern."""
        return self._events.pattern

    def __next__(self) -> Event:
        try:
            return self._client._run(self._events.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Takes no more events: an iteration that waits ends. Doing it twice is fine."""
        self._client._later(self._events.close)

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Registration:
    """A host function that the client has registered; lasts until `unregister` or until the client closes."""

    def __init__(self, client: Client, registration: AsyncRegistration) -> None:
        self._client = client
        self._registration = registration

    @property
    def name(self) -> str:
        """The name or pattern."""
        return self._registration.name

    def unregister(self) -> None:
        """Ends the registration: when this returns no new call of it comes; those that run go on."""
        self._client._run(self._registration.unregister())


def connect(
    socket_path: Optional[SocketPath] = None, *, client_name: Optional[str] = None, limits: Limits = Limits(),
    reconnect: Optional[Reconnect] = Reconnect(),
) -> Client:
    """Connects to the daemon: `with hostcall.sync.connect() as client: …`.

    Parameters and errors are those of `hostcall.connect`.
    """
    loop = _background.loop()

    async def begin() -> AsyncClient:
        return await connect_async(socket_path, client_name=client_name, limits=limits, reconnect=reconnect)

    return Client(_run_on(loop, begin()), loop)


_background = Background()


def _refuse_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return
    if running is loop:
        raise RuntimeError("this would wait for the event loop that it runs on (use request.client and await there)")


def _run_on(loop: asyncio.AbstractEventLoop, work: "Coroutine[Any, Any, _Value]") -> _Value:
    """Has the loop do something, and waits for it; an exception that interrupts the wait cancels it."""
    try:
        _refuse_loop(loop)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        if isinstance(loop, BackgroundLoop):
            loop.awaited(future)
    except RuntimeError:
        work.close()
        raise
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def _in_threads(elements: Iterable[Payload]) -> AsyncIterator[Payload]:
    """Steps through an iterable in a thread of its own, which holds up neither the loop nor the end of the program."""
    loop = asyncio.get_running_loop()
    thread = HandlerThreads(1, "arguments")
    end = object()
    iterator: Optional[Iterator[Payload]] = None

    def step(stepped: "asyncio.Future[Any]") -> None:
        nonlocal iterator
        element: Any = end
        failure: Optional[BaseException] = None
        try:
            if iterator is None:
                iterator = iter(elements)
            element = next(iterator, end)
        except BaseException as error:
            failure = error
        try:
            loop.call_soon_threadsafe(_settle, stepped, element, failure)
        except RuntimeError:
            # The loop is closed, and nobody waits.
            pass

    try:
        while True:
            stepped: "asyncio.Future[Any]" = loop.create_future()
            thread.submit(functools.partial(step, stepped))
            element = await stepped
            if element is end:
                return
            yield element
    finally:
        thread.close()


def _settle(stepped: "asyncio.Future[Any]", element: object, failure: Optional[BaseException]) -> None:
    if stepped.done():
        return
    if failure is None:
        stepped.set_result(element)
    else:
        stepped.set_exception(failure)
