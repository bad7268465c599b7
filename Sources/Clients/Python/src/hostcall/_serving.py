"""The functions of this program, and the calls that run here (protocol section 4, *Registering*, *Completing*)."""

import asyncio
import concurrent.futures
import functools
import logging
from typing import TYPE_CHECKING, Any, Coroutine, List, Optional, Set

from ._background import BackgroundLoop
from ._errors import Closed, HostcallError, status_error
from ._handlers import CANCELLED, Completion, Handler, run_async, run_plain
from ._items import ItemReceiver, ItemSender, item_too_large
from ._limits import clamped_window
from ._link import Link
from ._registration import Registration, RegistrationRecord, State, Unregistering
from ._request import BlockingRequest, Request
from ._requests import OutgoingCall
from ._timeouts import Seconds
from ._wire import Flags, Frame, Kind, ProtocolViolation, Status, STATUSES, encode

if TYPE_CHECKING:
    from ._client import Client
    from ._connection import Connection

logger = logging.getLogger("hostcall")

# Where it matters how long it takes: an enumeration's member costs a look-up in its class, and more where it is a flag.
_COMPLETE = int(Kind.COMPLETE)

class Running:
    """What an INVOKE has become. It leaves the connection's table when its COMPLETE is written."""

    __slots__ = (
        "client", "loop", "link", "correlation_id", "function", "results", "arguments", "was_cancelled", "has_started",
        "task", "blocking", "calls", "_end",
    )

    def __init__(self, frame: Frame, function: str, link: Link, connection: "Connection") -> None:
        self.client: "Client" = connection.client
        self.loop: asyncio.AbstractEventLoop = connection.loop
        self.link: Link = link
        self.correlation_id = frame.id
        self.function = function
        self.results: Optional[ItemSender] = None
        """What the handler sends, where the caller takes it."""
        self.arguments: Optional[ItemReceiver] = None
        """What the caller sends, where it does."""
        self.was_cancelled: bool = False
        """Whether the call has ended before its handler, so that an outcome reaches nobody."""
        self.has_started = False
        self.task: Optional["asyncio.Task[None]"] = None
        self.blocking: Optional[BlockingRequest] = None
        self.calls: Set[OutgoingCall] = set()
        """What the handler, in its thread, has called and waits for."""
        self._end: Optional[HostcallError] = None
        if frame.aux:
            self.results = ItemSender(frame.aux)
            self.results.open(link, frame.id)
        if frame.flags & Flags.OPEN:
            self.arguments = ItemReceiver(clamped_window(connection.limits.item_window), 0, self._grant)

    def end_streams(self, error: HostcallError) -> None:
        """No items go either way any more."""
        if self.results is not None:
            self.results.end(error)
        if self.arguments is not None:
            self.arguments.end(error)

    def cancel(self, error: HostcallError) -> None:
        """The call has ended: its handler is asked to stop."""
        self.was_cancelled = True
        self._end = error
        self.end_streams(error)
        if self.blocking is not None:
            self.blocking.cancelled.set()
        for call in list(self.calls):
            call.cancel(error)
        if self.task is not None:
            self.task.cancel()

    def is_end_of_call(self, error: BaseException) -> bool:
        """Whether the handler got the error because its call had ended, as what waits for items does."""
        return self._end is not None and isinstance(error, HostcallError) and error._says_the_same(self._end)

    def wait_for(self, work: "Coroutine[Any, Any, Any]") -> Any:
        """Has the loop do something, and waits for it in a handler's thread."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
            if isinstance(self.loop, BackgroundLoop):
                self.loop.awaited(future)
            return future.result()
        except RuntimeError:
            # The loop is closed, so nothing has begun; where it was the work's own error this does nothing.
            work.close()
            raise
        except concurrent.futures.CancelledError:
            raise Closed("this client's loop has ended", function=self.function) from None

    def _grant(self, items: int) -> None:
        if not self.was_cancelled and not self.link.is_closed:
            self.link.send(Kind.CREDIT, self.correlation_id, aux=items)


class Serving:
    """Registrations, made once and made again on every new connection, and what they run. Loop thread only."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self._registrations: List[RegistrationRecord] = []
        self._tasks: Set["asyncio.Task[None]"] = set()

    @property
    def has_registrations(self) -> bool:
        """Whether there is anything to come back for."""
        return bool(self._registrations)

    # Registering

    async def register(
        self, name: str, handler: Handler, *, concurrency: int, mode: str, timeout: Optional[Seconds],
        idempotent: bool, caller: bool,
    ) -> Registration:
        """Registers, and returns when the daemon has taken it."""
        registration = RegistrationRecord(
            self, name, handler, concurrency=concurrency, mode=mode, timeout=timeout, idempotent=idempotent,
            caller=caller,
        )
        self._registrations.append(registration)
        self.connection.submit(registration)
        try:
            await registration.answered
        except asyncio.CancelledError:
            # Nobody holds it, so nobody could end it.
            self._end(registration)
            raise
        return Registration(self, registration)

    async def unregister(self, registration: RegistrationRecord) -> None:
        """Ends a registration; returns when no new INVOKE of it can come."""
        ending = self._end(registration)
        if ending is not None:
            await asyncio.shield(ending.done)

    def _end(self, registration: RegistrationRecord) -> Optional[Unregistering]:
        if registration.state is State.ENDED:
            return None
        self.forget(registration)
        link = self.connection.link
        if registration.handle == 0 or link is None or link.welcome is None:
            return None
        ending = Unregistering(self, registration.handle)
        registration.handle = 0
        ending.transmit(link)
        return ending

    def forget(self, registration: RegistrationRecord) -> None:
        """It does not come back."""
        registration.end()
        if registration in self._registrations:
            self._registrations.remove(registration)

    def registering_failed(self, registration: RegistrationRecord, error: HostcallError) -> None:
        """The daemon has refused a registration: a new one is over, an old one is tried again later."""
        if registration.state is not State.ESTABLISHED:
            self.forget(registration)
            registration.answer(error)
            return
        self.connection.retry_later("registration", error)

    def connected(self, link: Link) -> None:
        """A new connection is there: what was registered before is registered again."""
        for registration in self._registrations:
            if registration.state is State.ESTABLISHED:
                registration.transmit(link)

    def retry(self, link: Link) -> None:
        """Tries once more with what the daemon has not taken back."""
        for registration in self._registrations:
            if registration.state is State.ESTABLISHED and not registration.handle and not registration.is_registering:
                registration.transmit(link)

    def disconnected(self, link: Optional[Link], error: HostcallError) -> None:
        """The connection has ended, and with it the calls that ran by it."""
        for registration in self._registrations:
            registration.handle = 0
        if link is not None:
            for running in list(link.running.values()):
                running.cancel(error)

    def close(self, error: HostcallError) -> None:
        """The client is closed."""
        for registration in list(self._registrations):
            registration.answer(error)
            self.forget(registration)

    # Calls that run here

    def receive_invoke(self, frame: Frame, link: Link) -> None:
        """INVOKE has come: starts the handler."""
        registration = link.functions.get(frame.function)
        if registration is None:
            raise ProtocolViolation(f"INVOKE with the handle {frame.function}, which it never gave out")
        if frame.id in link.running:
            raise ProtocolViolation(f"INVOKE of the call {frame.id}, which runs already")
        if frame.is_too_large:
            return self._refuse_too_large(frame, link)
        if not frame.name and registration.is_pattern:
            raise ProtocolViolation(f"INVOKE of the pattern {registration.name} without a name")
        function = frame.name or registration.name
        running = Running(frame, function, link, self.connection)
        link.running[frame.id] = running
        if registration.kind.runs_in_thread:
            blocking = BlockingRequest(frame, function, running)
            running.blocking = blocking
            running.has_started = True
            run = functools.partial(self._run_in_thread, registration, blocking, running)
            try:
                registration.threads().submit(run)
            except RuntimeError as error:
                logger.error("%s is not run: %s (call %d)", function, error, frame.id)
                self._finish(running, Completion(Status.FAILED, payload=f"it was not run: {error}".encode()))
        else:
            request = Request(frame, function, running)
            task = self.connection.loop.create_task(self._run_as_task(registration, request, running))
            running.task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_as_task(self, registration: RegistrationRecord, request: Request, running: Running) -> None:
        running.has_started = True
        completion = await run_async(registration.handler, registration.kind, request)  # type: ignore[arg-type]
        self._finish(running, completion)

    def _run_in_thread(self, registration: RegistrationRecord, request: BlockingRequest, running: Running) -> None:
        if running.was_cancelled:
            completion = CANCELLED
        else:
            completion = run_plain(registration.handler, registration.kind, request)  # type: ignore[arg-type]
        try:
            running.loop.call_soon_threadsafe(self._finish, running, completion)
        except RuntimeError:
            logger.debug("call %d ended after its client's loop", running.correlation_id)

    def _finish(self, running: Running, completion: Completion) -> None:
        """Sends COMPLETE, unless that was done or the connection that the call came by has ended."""
        link = running.link
        if link.is_closed or link.running.get(running.correlation_id) is not running:
            return
        if link.is_held and not link.has_room(0 if running.was_cancelled else len(completion.payload)):
            link.held_completions.append(functools.partial(self._finish, running, completion))
            return
        del link.running[running.correlation_id]
        # They refer to each other, and nothing is to be left for the collector.
        running.task = running.blocking = None
        if running.was_cancelled:
            completion = CANCELLED
        elif running.results is not None or running.arguments is not None:
            running.end_streams(
                status_error(
                    Status.LATE, "the call has been completed", function=running.function,
                    correlation_id=running.correlation_id,
                )
            )
        link.write(
            encode(
                _COMPLETE, running.correlation_id, status=completion.status, encoding=completion.encoding,
                metadata=completion.metadata, payload=completion.payload,
            )
        )
        self.connection.finish_shutdown_if_done()

    def _refuse_too_large(self, frame: Frame, link: Link) -> None:
        largest = self.connection.limits.largest_frame_bytes
        text = (
            f"the worker takes {largest} bytes at most (largest_frame_bytes), and the call has {frame.body_bytes}"
        )
        link.write(encode(Kind.COMPLETE, frame.id, status=Status.BUFFER_TOO_SMALL, payload=text.encode()))

    def receive_cancel(self, frame: Frame, link: Link) -> None:
        """CANCEL has come: the call has ended, and its handler is asked to stop."""
        running = link.running.get(frame.id)
        if running is None or running.was_cancelled:
            return
        running.cancel(
            status_error(
                STATUSES[frame.status], "the call has ended", origin="daemon", function=running.function,
                correlation_id=running.correlation_id,
            )
        )
        if not running.has_started:
            # A task that is cancelled before its first step never takes it.
            self._finish(running, CANCELLED)

    def receive_argument(self, frame: Frame, running: Running) -> None:
        """An argument item has come for a call that runs here."""
        if running.arguments is None:
            raise ProtocolViolation(f"ITEM for the call {frame.id}, which has no arguments")
        if frame.is_too_large:
            running.arguments.end(item_too_large(frame.body_bytes, self.connection.limits.largest_frame_bytes))
        else:
            running.arguments.put(frame)
