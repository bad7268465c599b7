"""What is asked of the daemon and answered by RESULT. Loop thread only, but for making them."""

import functools
import time
from typing import TYPE_CHECKING, Callable, Mapping, Optional, Set

from ._context import current
from ._errors import CallTimeout, HostcallError, InvalidArgument, Overloaded, TooLarge, Unavailable, result_error
from ._errors import status_error
from ._items import ItemReceiver, ItemSender, item_too_large
from ._limits import clamped_window
from ._link import Link
from ._payload import Payload, Reply, reply_from_wire, wire_metadata, wire_payload
from ._timeouts import Seconds, seconds, wire_milliseconds
from ._wire import LARGEST_METADATA_BYTES, RESERVED_NAME_PREFIX, Flags, Frame, Kind, Status, encode, encode_metadata
from ._wire import is_name, is_pattern

if TYPE_CHECKING:
    from ._connection import Connection

# Where it matters how long it takes: an enumeration's member costs a look-up in its class, and more where it is a flag.
_CALL = int(Kind.CALL)
_OPEN = int(Flags.OPEN)
_NO_REPLY = int(Flags.NO_REPLY)
_IDEMPOTENT = int(Flags.IDEMPOTENT)
_WAIT = int(Flags.WAIT)


class OutgoingRequest:
    """Something that is asked of the daemon: written once there is a connection, ended by RESULT or an error."""

    __slots__ = ()

    is_inside_handler = False
    """Whether a handler asks for it, so that it goes out while the client finishes what runs."""

    def transmit(self, link: Link) -> None:
        """Writes its frame, or ends it where that cannot be."""
        raise NotImplementedError

    def receive(self, frame: Frame, link: Link) -> None:
        """Its RESULT has come."""
        raise NotImplementedError

    def fail(self, error: HostcallError) -> None:
        """It has come to nothing."""
        raise NotImplementedError


@functools.lru_cache(maxsize=1024)
def call_name(function: str) -> bytes:
    """The bytes of a name that can be called. Raises InvalidArgument where it is none."""
    name = _bytes_of_name(function)
    if not is_name(name):
        raise InvalidArgument(
            "this is not a name that can be called: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots",
            function=function,
        )
    return name


def event_name(event: str) -> bytes:
    """The bytes of a name that can be published. Raises InvalidArgument where it is none."""
    name = _bytes_of_name(event)
    if not is_name(name) or event.startswith(RESERVED_NAME_PREFIX):
        raise InvalidArgument(
            "this is not a name that can be published: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots, "
            "the first of them not hostcall",
            function=event,
        )
    return name


def pattern_name(pattern: str) -> bytes:
    """The bytes of a name or pattern. Raises InvalidArgument where it is none."""
    name = _bytes_of_name(pattern)
    if not is_name(name) and not is_pattern(name):
        raise InvalidArgument(
            "this is not a name or pattern: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots, or that and "
            ".* at its end, or * alone",
            function=pattern,
        )
    return name


def _bytes_of_name(name: str) -> bytes:
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, such as 'token.fetch', and {name!r} is not")
    # What UTF-8 cannot hold is no name either.
    return name.encode(errors="replace")


def refusal(body_bytes: int, what: str, connection: "Connection", link: Link) -> Optional[HostcallError]:
    """Why a body of so many bytes cannot be sent, None where it can."""
    if body_bytes > link.largest_body_bytes:
        return TooLarge(
            f"{what} has {body_bytes} bytes, and the daemon takes {link.largest_body_bytes} at most (max-frame)",
            status=Status.TOO_LARGE,
        )
    queued = link.queued_bytes
    largest = connection.limits.largest_queue_bytes
    if queued and queued + body_bytes > largest:
        return Overloaded(
            f"{queued} bytes wait for a daemon that does not read, and {largest} may (largest_queue_bytes)",
            status=Status.OVERLOADED,
        )
    return None


def lack(feature: str, link: Link) -> Optional[HostcallError]:
    """Why nothing that needs the feature can be asked of this daemon, None where it can."""
    if link.welcome is None or feature in link.welcome.features:
        return None
    server = f"the daemon, {link.welcome.server}," if link.welcome.server else "the daemon"
    return Unavailable(
        f"{server} has no {feature}: a newer hostcalld names that feature in its WELCOME", status=Status.UNAVAILABLE
    )


class OutgoingCall(OutgoingRequest):
    """A call on its way: what was asked for, and what becomes of it.

    It may be made in any thread, and is then handed to the loop. It ends exactly once, by `when_ended`.
    """

    __slots__ = (
        "_connection", "function", "_name", "_payload", "_encoding", "_flags", "_metadata", "_deadline",
        "is_inside_handler", "results", "arguments", "_window", "_when_ended", "_request_id", "_link", "_is_cancelled",
        "_cancel_error", "_arguments_have_ended", "_calls_of_handler",
    )

    def __init__(
        self, connection: "Connection", function: str, payload: Payload, *, encoding: Optional[int],
        timeout: Optional[Seconds], metadata: Optional[Mapping[str, str]], wait: bool, idempotent: bool,
        wants_reply: bool = True, has_arguments: bool = False, window: Optional[int] = None,
    ) -> None:
        """Raises InvalidArgument, TypeError or ValueError where no daemon would take it."""
        self._connection = connection
        self.function = function
        self._name = call_name(function)
        self._payload, self._encoding = wire_payload(payload, encoding)
        flags = 0
        if wait:
            flags |= _WAIT
        if idempotent:
            flags |= _IDEMPOTENT
        if has_arguments:
            flags |= _OPEN
        if not wants_reply:
            flags |= _NO_REPLY
        self._flags = flags
        self._metadata = wire_metadata(metadata, function) if metadata else b""
        own = seconds(timeout, function) if timeout is not None else None
        deadline = None if own is None else time.monotonic() + own
        context = current.get()
        self.is_inside_handler = False
        if context is not None:
            self.is_inside_handler = context.correlation_id is not None
            if context.deadline is not None and (deadline is None or context.deadline < deadline):
                deadline = context.deadline
            if context.trace_parent is not None and (not metadata or "traceparent" not in metadata):
                self._metadata += _trace_metadata(
                    context.trace_parent, None if metadata and "tracestate" in metadata else context.trace_state,
                    LARGEST_METADATA_BYTES - len(self._metadata),
                )
        self._deadline = deadline
        self._window = 0 if window is None else clamped_window(window)
        self.results: Optional[ItemReceiver] = None
        self.arguments: Optional[ItemSender] = None
        if window is not None:
            self.results = ItemReceiver(self._window, self._window, self._grant)
        if has_arguments:
            self.arguments = ItemSender(0)
        self._when_ended: Optional[Callable[[Optional[Reply], Optional[HostcallError]], None]] = None
        self._request_id = 0
        self._link: Optional[Link] = None
        self._is_cancelled = False
        self._cancel_error: Optional[HostcallError] = None
        self._arguments_have_ended = False
        self._calls_of_handler: "Optional[Set[OutgoingCall]]" = None

    def belong_to(self, calls_of_handler: "Set[OutgoingCall]") -> None:
        """It is among those that a handler in a thread waits for, until it ends. In the thread, before it begins."""
        self._calls_of_handler = calls_of_handler
        calls_of_handler.add(self)

    def begin(self, when_ended: Callable[[Optional[Reply], Optional[HostcallError]], None]) -> None:
        """The call begins; `when_ended` is told its outcome, a reply or an error, once."""
        self._when_ended = when_ended
        if self._is_cancelled:
            self.fail(self._cancel_error or _cancelled_before_sending())
        else:
            self._connection.submit(self)
            due = self.due
            if due is not None:
                self._connection.watch_deadline(due)

    @property
    def due(self) -> Optional[float]:
        """When this client ends it by itself, on the clock of `time.monotonic()`; None for never."""
        if self._deadline is None or self._when_ended is None:
            return None
        return self._deadline if self._link is None else self._deadline + self._connection.limits.answer_grace

    def end_overdue(self) -> None:
        """It is due: it still waits for a connection, or the daemon has not ended it."""
        link = self._link
        if link is None:
            sentence = f"there was no connection to hostcalld at {self._connection.path} before its deadline"
        else:
            grace = self._connection.limits.answer_grace
            sentence = f"the daemon has not answered within {grace:g} s of the deadline (answer_grace)"
            if link.requests.pop(self._request_id, None) is not None:
                link.overdue.add(self._request_id)
            # Should the daemon go on, the worker need not.
            if not self._is_cancelled and not link.is_closed:
                link.send(Kind.CANCEL, self._request_id)
        self.fail(CallTimeout(sentence, status=Status.TIMEOUT))

    @property
    def has_ended(self) -> bool:
        """Whether the caller has its outcome."""
        return self._when_ended is None

    def cancel(self, error: Optional[HostcallError] = None) -> None:
        """Nobody wants the outcome any more, because of an error that the call then ends with, or for no reason.

        A call under way ends with the daemon's RESULT, which comes at once.
        """
        if self._is_cancelled:
            return
        self._is_cancelled = True
        self._cancel_error = error
        if self._when_ended is None:
            return
        if self._link is None:
            self.fail(error or _cancelled_before_sending())
        elif not self._link.is_closed:
            self._link.send(Kind.CANCEL, self._request_id)

    def end_arguments(self) -> None:
        """No more argument items follow."""
        self._arguments_have_ended = True
        if self._link is not None and not self.has_ended and not self._is_cancelled and self.arguments is not None:
            self.arguments.send_end()

    def check_argument(self, payload: bytes) -> None:
        """Raises TooLarge where an argument item is larger than the daemon takes."""
        if self._link is not None and len(payload) > self._link.largest_body_bytes:
            raise TooLarge(
                f"an argument has {len(payload)} bytes, and the daemon takes {self._link.largest_body_bytes} at most "
                "(max-frame)",
                status=Status.TOO_LARGE, function=self.function,
            )

    def transmit(self, link: Link) -> None:
        if self._when_ended is None:
            return
        error: Optional[HostcallError] = None
        timeout = 0
        if self.results is not None or self.arguments is not None:
            error = lack("streams", link)
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                error = CallTimeout("no time was left when it was to be sent", status=Status.TIMEOUT)
            else:
                timeout = wire_milliseconds(left)
        body_bytes = len(self._name) + len(self._metadata) + len(self._payload)
        error = error or refusal(body_bytes, "the call", self._connection, link)
        if error is not None:
            return self.fail(error)
        id = self._connection.next_request_id()
        link.write(
            encode(
                _CALL, id, flags=self._flags, encoding=self._encoding, timeout=timeout, aux=self._window,
                name=self._name, metadata=self._metadata, payload=self._payload,
            )
        )
        self._payload = b""
        if self._flags & _NO_REPLY:
            return self._end(Reply(), None)
        self._request_id = id
        self._link = link
        link.requests[id] = self
        if self.arguments is not None:
            self.arguments.open(link, id)
            if self._arguments_have_ended:
                self.arguments.send_end()

    def receive(self, frame: Frame, link: Link) -> None:
        if frame.is_too_large:
            largest = self._connection.limits.largest_frame_bytes
            self.fail(
                TooLarge(
                    f"the result has {frame.body_bytes} bytes, and this client takes {largest} at most "
                    "(largest_frame_bytes)",
                    status=Status.TOO_LARGE, correlation_id=frame.call or None,
                )
            )
        elif frame.status == 0:
            self._end(reply_from_wire(frame.payload, frame.encoding, frame.metadata, frame.call), None)
        elif frame.status == Status.CANCELLED and self._cancel_error is not None:
            self.fail(self._cancel_error)
        else:
            self.fail(result_error(frame, self.function))

    def receive_item(self, frame: Frame, largest_frame_bytes: int) -> None:
        """A result item has come."""
        assert self.results is not None
        if frame.is_too_large:
            self.cancel(item_too_large(frame.body_bytes, largest_frame_bytes))
        elif not self._is_cancelled:
            # Otherwise nobody is left to take it while CANCEL is on its way.
            self.results.put(frame)

    def fail(self, error: HostcallError) -> None:
        if self._when_ended is not None:
            self._end(None, error._about(self.function))

    def _end(self, reply: Optional[Reply], error: Optional[HostcallError]) -> None:
        when_ended = self._when_ended
        if when_ended is None:
            return
        self._when_ended = None
        if self._calls_of_handler is not None:
            self._calls_of_handler.discard(self)
        self._payload = b""
        if self.results is not None:
            self.results.end(error)
        if self.arguments is not None:
            self.arguments.end(error or status_error(Status.LATE, "the call has ended", function=self.function))
        when_ended(reply, error)

    def _grant(self, items: int) -> None:
        if self._link is not None and not self._link.is_closed and not self.has_ended and not self._is_cancelled:
            self._link.send(Kind.CREDIT, self._request_id, aux=items)


def _cancelled_before_sending() -> HostcallError:
    return status_error(Status.CANCELLED, "it was cancelled before it was sent")


def _trace_metadata(trace_parent: str, trace_state: Optional[str], room: int) -> bytes:
    """The trace as metadata; a call goes without what the rules refuse, or what there is no room for."""
    whole = b""
    for key, value in (("traceparent", trace_parent), ("tracestate", trace_state)):
        if value is None:
            continue
        try:
            entry = encode_metadata({key: value})
        except ValueError:
            continue
        if len(whole) + len(entry) <= room:
            whole += entry
    return whole
