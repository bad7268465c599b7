"""What a client is to its daemon, across all the connections that follow each other."""

import asyncio
import errno
import logging
import math
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Callable, List, Optional

from ._errors import CannotConnect, Closed, ConnectionLost, HostcallError, ShuttingDown
from ._limits import Backoff, Limits, Reconnect
from ._link import Link, reason_of, welcome_information
from ._liveness import Liveness
from ._phase import Phase
from ._requests import OutgoingCall, OutgoingRequest
from ._serving import Serving
from ._subscriptions import Subscriptions
from ._text import payload_text
from ._wire import HELLO_ID, PROTOCOL_VERSION, REQUEST_MARK, STATUSES, Flags, Frame, Kind, ProtocolViolation
from ._wire import Status, encode, encode_metadata

if TYPE_CHECKING:
    from ._client import Client

logger = logging.getLogger("hostcall")

FEATURES = "streams,events"
"""What this client can do beyond version 1, as HELLO names it."""

DEADLINE_CHECK_SECONDS = 0.01
"""Seconds between looks at which calls are overdue, at least: each of them goes through all calls."""

BUSY_RETRY_SECONDS = 0.005
"""Seconds between attempts at a daemon whose queue of connections is full."""

# Where it matters how long it takes: an enumeration's member costs a look-up in its class, and more where it is a flag.
_RESULT = int(Kind.RESULT)
_INVOKE = int(Kind.INVOKE)
_DESCRIPTORS = int(Flags.DESCRIPTORS)

_MAY_BE_TOO_LARGE = (Kind.RESULT, Kind.INVOKE, Kind.ITEM, Kind.EVENT)


class Connection:
    """The state of one client: its phase, its present link, and the requests that wait for one. Loop thread only."""

    client: "Client"

    def __init__(
        self, loop: asyncio.AbstractEventLoop, path: str, client_name: Optional[str], limits: Limits,
        reconnect: Optional[Reconnect],
    ) -> None:
        self.loop = loop
        self.process_id = os.getpid()
        """The process that it belongs to; a forked one has the same memory, and nobody who works with it."""
        self.path = path
        self.limits = limits
        self._hello = encode(
            Kind.HELLO, HELLO_ID, function=PROTOCOL_VERSION, aux=PROTOCOL_VERSION,
            metadata=encode_metadata({"client": client_name or _program_name(), "features": FEATURES}),
        )
        self._reconnects = reconnect is not None
        self._reconnect_policy = reconnect or Reconnect()
        self.phase = Phase.IDLE
        self.link: Optional[Link] = None
        """The present connection; None in IDLE, BACKING_OFF and CLOSED, and before the socket is connected."""
        self.serving = Serving(self)
        self.subscriptions = Subscriptions(self)
        self._liveness = Liveness(self)
        self._draining: Optional[Link] = None
        """After a shutdown, the connection whose last bytes are still to leave."""
        self._waiting: List[OutgoingRequest] = []
        self._has_connected = False
        self._last_request_id = 0
        self._backoff = Backoff(self._reconnect_policy)
        self._retry_backoff = Backoff(self._reconnect_policy)
        self._connect_deadline = 0.0
        self._connect_timer: Optional[asyncio.TimerHandle] = None
        self._next_due = math.inf
        self._due_timer: Optional[asyncio.TimerHandle] = None
        self._retry_timer: Optional[asyncio.TimerHandle] = None
        self._opening: "Optional[asyncio.Task[None]]" = None
        self._first_answer: "asyncio.Future[None]" = loop.create_future()
        self.closed: "asyncio.Future[Optional[HostcallError]]" = loop.create_future()
        """Done at the end, with the reason unless this program wanted it."""

    # Connecting

    async def connect(self) -> None:
        """The first connection; its failure is the end of the client."""
        self._begin_connecting()
        try:
            await self._first_answer
        except asyncio.CancelledError:
            self.close()
            raise

    def _begin_connecting(self) -> None:
        self._cancel_timer(self._connect_timer)
        self.phase = Phase.CONNECTING
        self._connect_deadline = self.loop.time() + self.limits.connect_timeout
        self._attempt()

    def _attempt(self) -> None:
        if self.phase is not Phase.CONNECTING:
            return
        try:
            connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            return self.lose(self._cannot_connect(reason_of(error)))
        connecting.setblocking(False)
        try:
            # At once, or not at all: a Unix socket has no connections that are under way.
            connecting.connect(self.path)
        except BlockingIOError as error:
            connecting.close()
            # The daemon is there and others are before us: soon it will have taken them.
            if self.loop.time() < self._connect_deadline:
                self._connect_timer = self.loop.call_later(BUSY_RETRY_SECONDS, self._attempt)
            else:
                self.lose(self._cannot_connect(reason_of(error), "is it overloaded?"))
        except OSError as error:
            connecting.close()
            advice = None
            if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
                advice = "start it with: hostcalld, or set HOSTCALL_SOCKET"
            elif error.errno in (errno.EACCES, errno.EPERM):
                advice = "ask for access to the socket, or set HOSTCALL_SOCKET"
            self.lose(self._cannot_connect(reason_of(error), advice))
        else:
            self.link = Link(self, self.loop)
            self._opening = self.loop.create_task(self._open(connecting, self.link))

    async def _open(self, connected: socket.socket, link: Link) -> None:
        try:
            await self.loop.create_unix_connection(lambda: link, sock=connected)
        except OSError as error:
            connected.close()
            return self.link_ended(link, reason_of(error))
        if link.is_closed:
            return
        link.write(self._hello)
        link.flush()
        self._connect_timer = self.loop.call_at(self._connect_deadline, self._no_welcome, link)

    def _no_welcome(self, link: Link) -> None:
        if link.welcome is None and link is self.link:
            timeout = self.limits.connect_timeout
            self.lose(self._cannot_connect(f"it has not answered within {timeout:g} s", "is it overloaded?"))

    def _receive_welcome(self, frame: Frame, link: Link) -> None:
        if link.welcome is not None:
            raise ProtocolViolation("a second WELCOME")
        if frame.status != 0:
            status = STATUSES[frame.status]
            text = payload_text(frame.payload, 0)
            if status is Status.VERSION:
                text = f"it speaks the protocol versions {text}, and this client {PROTOCOL_VERSION}"
            else:
                text = f"{status}: {text}"
            return self.lose(self._cannot_connect(text, status=status))
        if frame.function != PROTOCOL_VERSION:
            raise ProtocolViolation(f"WELCOME chooses version {frame.function}, which was not offered")
        link.welcome = welcome_information(frame)
        link.ready_since = self.loop.time()
        self.phase = Phase.READY
        if self._has_connected:
            logger.info("connected to hostcalld at %s again", self.path)
        self._has_connected = True
        self._cancel_timer(self._connect_timer)
        self._liveness.watch(link)
        self._retry_backoff.reset()
        self.serving.connected(link)
        self.subscriptions.connected(link)
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            request.transmit(link)
        if not self._first_answer.done():
            self._first_answer.set_result(None)

    # Requests

    def next_request_id(self) -> int:
        """A request id that was never used."""
        self._last_request_id += 1
        return REQUEST_MARK | self._last_request_id

    def submit(self, request: OutgoingRequest) -> None:
        """Sends a request, or has it wait for the connection, or refuses it."""
        phase = self.phase
        if phase is Phase.READY:
            assert self.link is not None
            request.transmit(self.link)
        elif phase is Phase.CONNECTING:
            self._waiting.append(request)
        elif phase in (Phase.IDLE, Phase.BACKING_OFF):
            self._waiting.append(request)
            self._begin_connecting()
        elif phase is Phase.LEAVING:
            request.fail(
                ShuttingDown("it is stopping and takes nothing new", status=Status.SHUTTING_DOWN, origin="daemon")
            )
        elif phase is Phase.SHUTTING_DOWN and request.is_inside_handler and self.link is not None:
            request.transmit(self.link)
        elif phase is Phase.SHUTTING_DOWN:
            request.fail(Closed("this client is shutting down"))
        else:
            request.fail(self.closed_error)

    def watch_deadline(self, due: float) -> None:
        """A call is due then, on the clock of `time.monotonic()`: all calls are looked at when the first of them is."""
        if due < self._next_due:
            self._cancel_timer(self._due_timer)
            self._next_due = due
            delay = max(due - time.monotonic(), DEADLINE_CHECK_SECONDS)
            self._due_timer = self.loop.call_later(delay, self._end_overdue_calls)

    def _end_overdue_calls(self) -> None:
        self._next_due = math.inf
        now = time.monotonic()
        requests = self._waiting if self.link is None else self._waiting + list(self.link.requests.values())
        for call in list(requests):
            due = call.due if isinstance(call, OutgoingCall) else None
            if due is not None and due <= now:
                assert isinstance(call, OutgoingCall)
                call.end_overdue()
            elif due is not None:
                self.watch_deadline(due)
        self.finish_shutdown_if_done()

    @property
    def closed_error(self) -> HostcallError:
        """What a request gets when the client is closed."""
        reason = self.closed.result() if self.closed.done() else None
        return reason or Closed("this client is closed")

    def retry_later(self, what: str, error: HostcallError) -> None:
        """The daemon has not taken back what it had before: that is tried again."""
        delay = self._retry_backoff.next_delay()
        logger.warning("a %s is not back: %s; trying again in %.0f ms", what, error, delay * 1000)
        self._cancel_timer(self._retry_timer)
        self._retry_timer = self.loop.call_later(delay, self._retry)

    def _retry(self) -> None:
        if self.phase is Phase.READY and self.link is not None:
            self.serving.retry(self.link)
            self.subscriptions.retry(self.link)

    # From the daemon

    def receive(self, frame: Frame, link: Link) -> None:
        """A frame has come; raises ProtocolViolation where its place in the conversation is wrong."""
        kind = frame.kind
        if link.welcome is None and kind not in (Kind.WELCOME, Kind.GOAWAY):
            raise ProtocolViolation(f"{Kind(kind).name} before WELCOME")
        if frame.is_too_large and kind not in _MAY_BE_TOO_LARGE:
            raise ProtocolViolation(f"{Kind(kind).name} of {frame.body_bytes} bytes")
        if frame.flags & _DESCRIPTORS:
            raise ProtocolViolation(f"{Kind(kind).name} with DESCRIPTORS, a feature that this client did not name")
        if kind == _RESULT:
            request = link.requests.pop(frame.id, None)
            if request is None:
                if frame.id in link.overdue:
                    return link.overdue.remove(frame.id)
                raise ProtocolViolation(f"RESULT for the request {frame.id}, which is not outstanding")
            try:
                request.receive(frame, link)
            except Exception:
                # The connection is about to be lost, and whoever waits is told so with the others.
                link.requests[frame.id] = request
                raise
        elif kind == _INVOKE:
            self.serving.receive_invoke(frame, link)
        elif kind == Kind.ITEM:
            self._receive_item(frame, link)
        elif kind == Kind.CREDIT:
            self._receive_credit(frame, link)
        elif kind == Kind.EVENT:
            self.subscriptions.receive_event(frame, link)
        elif kind == Kind.CANCEL:
            self.serving.receive_cancel(frame, link)
        elif kind == Kind.PING:
            self._receive_ping(frame, link)
        elif kind == Kind.PONG:
            answered = link.pings.pop(frame.id, None)
            if answered is not None:
                answered()
        elif kind == Kind.WELCOME:
            self._receive_welcome(frame, link)
        elif kind == Kind.GOAWAY:
            self._receive_goaway(frame)
        elif frame.id not in link.running:
            # Otherwise it was an item or credit that met the end of its call on the way, of which CANCEL tells.
            logger.debug("the daemon did not take the completion of call %d: %s", frame.id, STATUSES[frame.status])

    def _receive_ping(self, frame: Frame, link: Link) -> None:
        if link.has_room(0):
            return link.send(Kind.PONG, frame.id, payload=frame.payload)
        largest = self.limits.largest_queue_bytes
        self.link_ended(
            link, f"the daemon sends PING and reads nothing, and {largest} bytes wait for it (largest_queue_bytes)"
        )

    def _receive_item(self, frame: Frame, link: Link) -> None:
        if frame.id & REQUEST_MARK:
            call = link.requests.get(frame.id)
            if call is None and frame.id in link.overdue:
                return
            if not isinstance(call, OutgoingCall) or call.results is None:
                raise ProtocolViolation("ITEM without credit")
            call.receive_item(frame, self.limits.largest_frame_bytes)
        else:
            # Of a call that was completed while the item was on its way nothing is left here.
            running = link.running.get(frame.id)
            if running is not None:
                self.serving.receive_argument(frame, running)

    def _receive_credit(self, frame: Frame, link: Link) -> None:
        if frame.id & REQUEST_MARK:
            call = link.requests.get(frame.id)
            sender = call.arguments if isinstance(call, OutgoingCall) else None
        else:
            running = link.running.get(frame.id)
            sender = None if running is None else running.results
        if sender is not None:
            sender.add_credit(frame.aux)

    def _receive_goaway(self, frame: Frame) -> None:
        status = STATUSES[frame.status]
        if status in (Status.OK, Status.SHUTTING_DOWN):
            # What runs is finished; the daemon closes the connection after it.
            if self.phase is Phase.READY:
                self.phase = Phase.LEAVING
                return
            if self.phase in (Phase.LEAVING, Phase.SHUTTING_DOWN):
                return
        text = payload_text(frame.payload, 0)
        reason = f"{status} from the daemon: {text}" if text else f"the daemon has ended it with {status}"
        self.lose(self._connection_ended(reason, status=status, origin="daemon"))

    def refuse(self, link: Link, violation: ProtocolViolation) -> None:
        """The daemon broke the protocol: it is told so, and the connection is given up."""
        link.send(Kind.GOAWAY, 0, status=Status.PROTOCOL, payload=str(violation).encode())
        link.flush()
        self.lose(self._connection_ended(f"the daemon broke the protocol: {violation}", status=Status.PROTOCOL))

    def fail_reading(self, link: Link, error: Exception) -> None:
        """A frame could not be dealt with here, and those after it make no sense without it."""
        logger.error("what came from hostcalld at %s could not be dealt with", self.path, exc_info=error)
        self.link_ended(link, f"this client failed: {reason_of(error)}")

    def ping(self, answered: Callable[[Optional[HostcallError]], None]) -> None:
        """Sends PING; `answered` is told of the answer, or of the error that came instead."""
        link = self.link
        if link is not None and link.welcome is not None:
            self._liveness.ping(link, answered)
        elif self.phase is Phase.CLOSED:
            answered(self.closed_error)
        else:
            answered(ConnectionLost(f"there is no connection to hostcalld at {self.path}"))

    # The end of a connection

    def link_ended(self, link: Link, reason: str) -> None:
        """The socket has been closed by the other side."""
        if link is self.link:
            self.lose(self._connection_ended(reason))

    def lose(self, error: HostcallError) -> None:
        """The connection has ended, or could not be made: everything that depended on it ends with this error."""
        if self.phase is Phase.CLOSED:
            return
        was_connecting = self.phase is Phase.CONNECTING
        was_shutting_down = self.phase is Phase.SHUTTING_DOWN
        link = self.link
        if link is not None and link.welcome is not None:
            if self.loop.time() - link.ready_since > self._reconnect_policy.maximum_delay:
                self._backoff.reset()
        # Before anybody hears of the end, so that a request made because of it begins a connection of its own.
        self.phase = Phase.IDLE
        waiting = self._drop_link()
        if was_shutting_down or not self._has_connected or not self._reconnects:
            self._end_requests(link, waiting, error)
            return self._finish_closing(None if was_shutting_down else error)
        if self.serving.has_registrations or self.subscriptions.has_subscriptions:
            delay = self._backoff.next_delay()
            self.phase = Phase.BACKING_OFF
            self._connect_timer = self.loop.call_later(delay, self._begin_connecting)
            logger.log(
                logging.DEBUG if was_connecting else logging.WARNING, "%s; connecting again in %.0f ms", error,
                delay * 1000,
            )
        self._end_requests(link, waiting, error)

    def _drop_link(self) -> List[OutgoingRequest]:
        """Closes the socket; gives back the requests that waited for WELCOME."""
        self._liveness.stop()
        self._cancel_timer(self._connect_timer)
        self._cancel_timer(self._retry_timer)
        link, self.link = self.link, None
        if link is not None:
            link.drop()
        waiting, self._waiting = self._waiting, []
        return waiting

    def _end_requests(self, link: Optional[Link], waiting: List[OutgoingRequest], error: HostcallError) -> None:
        self.serving.disconnected(link, error)
        self.subscriptions.disconnected()
        if link is not None:
            waiting = list(link.requests.values()) + waiting
            link.requests.clear()
        for request in waiting:
            request.fail(error)

    # Leaving

    def shut_down(self) -> None:
        """Says GOAWAY, finishes what runs, and closes."""
        link = self.link
        if self.phase in (Phase.READY, Phase.LEAVING) and link is not None:
            self.phase = Phase.SHUTTING_DOWN
            link.send(Kind.GOAWAY, 0)
            # The answer comes after everything that the daemon sent before it knew.
            self._liveness.ping_unheard(link, link.see_goaway)
        elif self.phase is not Phase.SHUTTING_DOWN:
            self.close()

    def finish_shutdown_if_done(self) -> None:
        """Closes a client that is shutting down when the last outcome has left."""
        link = self.link
        if self.phase is Phase.SHUTTING_DOWN and link is not None:
            if link.goaway_was_seen and link.is_idle:
                # The last outcomes may still have to leave.
                self._draining = link
                link.drain(self.limits.drain_timeout)
                self._finish_closing(None)

    def close(self) -> None:
        """Closes at once."""
        if self._draining is not None:
            self._draining.abort()
        self._finish_closing(None)

    def _finish_closing(self, reason: Optional[HostcallError]) -> None:
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._cancel_timer(self._due_timer)
        link = self.link
        waiting = self._drop_link()
        self.closed.set_result(reason)
        error = self.closed_error
        self._end_requests(link, waiting, error)
        self.serving.close(error)
        self.subscriptions.close(reason, error)
        if not self._first_answer.done():
            self._first_answer.set_exception(error._about(None))

    @staticmethod
    def _cancel_timer(timer: Optional[asyncio.TimerHandle]) -> None:
        if timer is not None:
            timer.cancel()

    # Errors in words

    def _cannot_connect(
        self, reason: str, advice: Optional[str] = None, *, status: Optional[Status] = None
    ) -> HostcallError:
        advice = f" ({advice})" if advice else ""
        return CannotConnect(
            f"cannot reach hostcalld at {self.path}: {reason}{advice}", status=status,
            origin="client" if status is None else "daemon",
        )

    def _connection_ended(
        self, reason: str, *, status: Optional[Status] = None, origin: str = "client"
    ) -> HostcallError:
        """The connection was there and is not any more; before WELCOME that is one that could not be made."""
        if self.phase is Phase.CONNECTING:
            return CannotConnect(f"cannot reach hostcalld at {self.path}: {reason}", status=status, origin=origin)
        return ConnectionLost(
            f"the connection to hostcalld at {self.path} was lost: {reason}", status=status, origin=origin
        )


def _program_name() -> str:
    """Who this is, for `hostcall peers` and the daemon's log."""
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c", "-m") else ""
    return name.encode(errors="replace").decode() or "python"
