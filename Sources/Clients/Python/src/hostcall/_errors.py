"""What goes wrong, as exceptions: one class for each status of protocol section 6, and a few for the connection."""

import json
from typing import Any, Dict, Mapping, Optional, Type, TypeVar

from ._text import payload_text, printable_text
from ._wire import STATUSES, Encoding, Flags, Frame, Status

_Error = TypeVar("_Error", bound="HostcallError")


class HostcallError(Exception):
    """Why a call, or something else asked of a client, did not succeed.

    Reads well on a terminal: `token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)`.
    """

    _shows_status = True

    def __init__(
        self, message: str = "", *, status: Optional[int] = None, origin: str = "client",
        function: Optional[str] = None, correlation_id: Optional[int] = None, payload: bytes = b"",
        encoding: int = Encoding.RAW, metadata: Optional[Mapping[str, str]] = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """What happened, for people; from the payload where that is text."""
        self.status: Optional[Status] = None if status is None else STATUSES[status]
        """The status of protocol section 6, None where this program found the error without one."""
        self.origin = origin
        """Who found it: `daemon` (a rule, limit or deadline), `worker` (it chose status and payload) or `client`."""
        self.function = function
        """The function that was called or registered, None where the error is about the connection."""
        self.correlation_id = correlation_id
        """The number by which worker, logs and tools know the call, None where none was issued."""
        self.payload = payload
        """What came with the status, empty where nothing did."""
        self.encoding = Encoding(encoding)
        """What the payload's bytes are."""
        self.metadata: Mapping[str, str] = {} if metadata is None else metadata
        """What the worker sent beside the payload."""

    @property
    def text(self) -> str:
        """The payload as text; bytes that are not UTF-8 become U+FFFD."""
        return self.payload.decode(errors="replace")

    def json(self) -> Any:
        """The payload as JSON. Raises ValueError where it is none."""
        return json.loads(self.payload)

    def __str__(self) -> str:
        parts = []
        if self.function is not None:
            parts.append(self.function)
        if self._shows_status and self.status is not None:
            parts.append(f"{self.status} from the {self.origin}" if self.origin != "client" else str(self.status))
        # The daemon's sentences begin with the function, which is said once.
        sentence = self.message
        if self.function is not None and sentence.startswith(self.function + ": "):
            sentence = sentence[len(self.function) + 2 :]
        if sentence:
            parts.append(printable_text(sentence))
        text = ": ".join(parts)
        return text if self.correlation_id is None else f"{text} (call {self.correlation_id})"

    def __reduce__(self) -> Any:
        return _restored, (type(self), self._arguments())

    def _arguments(self) -> Dict[str, Any]:
        return {
            "message": self.message, "status": self.status, "origin": self.origin, "function": self.function,
            "correlation_id": self.correlation_id, "payload": self.payload, "encoding": self.encoding,
            "metadata": dict(self.metadata),
        }

    def _about(self: _Error, function: Optional[str], correlation_id: Optional[int] = None) -> _Error:
        """The same error as an object of its own, about this function and call unless it names others.

        One that ends many calls is raised in many tasks, and each of them hangs its own traceback on it.
        """
        arguments = self._arguments()
        if self.function is None:
            arguments["function"] = function
        if self.correlation_id is None:
            arguments["correlation_id"] = correlation_id
        error = _restored(type(self), arguments)
        error.__cause__ = self.__cause__
        return error

    def _says_the_same(self, other: "HostcallError") -> bool:
        """Whether both are about one thing: an error that ends many waits is an object of its own in each."""
        return (self.message, self.status, self.origin) == (other.message, other.status, other.origin) and (
            other.correlation_id in (None, self.correlation_id)
        )


def _restored(kind: Type[_Error], arguments: Dict[str, Any]) -> _Error:
    return kind(**arguments)


class CannotConnect(HostcallError, ConnectionError):
    """The daemon cannot be reached, or does not take this program. Nothing was started."""

    _shows_status = False


class ConnectionLost(HostcallError, ConnectionError):
    """The connection ended before the outcome came: what was under way may or may not have run."""

    _shows_status = False


class Closed(HostcallError):
    """The client was closed, or is shutting down, by this program."""

    _shows_status = False


class InvalidArgument(HostcallError, ValueError):
    """INVALID_ARGUMENT: a name, handle, option or value that cannot be. Where this program found it itself, nothing was
    sent and `status` is None."""


class NullPointer(HostcallError):
    """NULL_POINTER: a required pointer was null in a worker that uses the C interface."""


class BufferTooSmall(HostcallError):
    """BUFFER_TOO_SMALL: the worker had no room for the call or its result."""


class InvalidUTF8(HostcallError):
    """INVALID_UTF8: the worker wanted text."""


class SerializationFailed(HostcallError):
    """SERIALIZATION: the worker could not decode the payload, or encode its result."""


class Panicked(HostcallError):
    """PANIC: the host function crashed and was caught at its boundary."""


class CallTimeout(HostcallError, TimeoutError):
    """TIMEOUT: the deadline passed first."""


class NotFound(HostcallError):
    """NOT_FOUND: nobody has registered that name."""


class Failed(HostcallError):
    """FAILED: the host function answered with an error; the payload is that error."""


class Cancelled(HostcallError):
    """CANCELLED: the call was cancelled by somebody else than the task that awaited it (that gets CancelledError)."""


class WorkerLost(HostcallError):
    """WORKER_LOST: the worker went away while it may have been running the call."""


class Unavailable(HostcallError):
    """UNAVAILABLE: the name is known, but no worker for it can be had now."""


class Overloaded(HostcallError):
    """OVERLOADED: a limit is reached; nothing was started, trying later is safe."""


class Denied(HostcallError):
    """DENIED: policy refuses it."""


class TooLarge(HostcallError):
    """TOO_LARGE: a frame is larger than the daemon or this client takes."""


class ProtocolBroken(HostcallError):
    """PROTOCOL: one side broke the protocol."""


class VersionMismatch(HostcallError):
    """VERSION: no protocol version in common."""


class ShuttingDown(HostcallError):
    """SHUTTING_DOWN: the daemon is leaving."""


class AlreadyRegistered(HostcallError):
    """ALREADY_REGISTERED: somebody has that name already."""


class CallerLost(HostcallError):
    """CALLER_LOST: the caller of the call that is being answered has gone."""


class CallEnded(HostcallError):
    """LATE, DUPLICATE or UNKNOWN_CALL: what was sent is for a call that has ended."""


class UnknownError(HostcallError):
    """UNKNOWN, or a status that this version does not know."""


class ApplicationError(HostcallError):
    """A status of the application's own, 128 to 255, chosen by the worker."""


_CLASSES: Dict[int, Type[HostcallError]] = {
    Status.NULL_POINTER: NullPointer, Status.BUFFER_TOO_SMALL: BufferTooSmall, Status.INVALID_UTF8: InvalidUTF8,
    Status.SERIALIZATION: SerializationFailed, Status.PANIC: Panicked, Status.TIMEOUT: CallTimeout,
    Status.NOT_FOUND: NotFound, Status.FAILED: Failed, Status.CANCELLED: Cancelled, Status.WORKER_LOST: WorkerLost,
    Status.UNAVAILABLE: Unavailable, Status.OVERLOADED: Overloaded, Status.DENIED: Denied,
    Status.TOO_LARGE: TooLarge, Status.PROTOCOL: ProtocolBroken, Status.VERSION: VersionMismatch,
    Status.SHUTTING_DOWN: ShuttingDown, Status.ALREADY_REGISTERED: AlreadyRegistered,
    Status.INVALID_ARGUMENT: InvalidArgument, Status.UNKNOWN_CALL: CallEnded, Status.LATE: CallEnded,
    Status.DUPLICATE: CallEnded, Status.CALLER_LOST: CallerLost,
}


def error_class(status: int) -> Type[HostcallError]:
    """The class of a status other than OK."""
    return _CLASSES.get(status, ApplicationError if status >= 128 else UnknownError)


def status_error(status: Status, message: str, *, origin: str = "client", **details: Any) -> HostcallError:
    """An error with a status that no RESULT brought."""
    return error_class(status)(message, status=status, origin=origin, **details)


def result_error(frame: Frame, function: Optional[str]) -> HostcallError:
    """What a RESULT with a status other than OK is to whoever asked."""
    return error_class(frame.status)(
        payload_text(frame.payload, frame.encoding), status=frame.status,
        origin="worker" if frame.flags & Flags.FROM_WORKER else "daemon", function=function,
        correlation_id=frame.call or None, payload=frame.payload, encoding=frame.encoding, metadata=frame.metadata,
    )
