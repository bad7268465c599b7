"""One connection to the daemon, with everything that ends with it."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Set

from ._wire import Decoder, Direction, Frame, Kind, ProtocolViolation, encode

if TYPE_CHECKING:
    from ._connection import Connection
    from ._items import ItemSender
    from ._registration import RegistrationRecord
    from ._requests import OutgoingRequest
    from ._serving import Running

logger = logging.getLogger("hostcall")

FLUSH_BYTES = 256 << 10
"""Bytes of output past which a turn of the loop does not wait for its end to hand them to the socket."""

SEPARATE_BYTES = 64 << 10
"""Bytes of the smallest frame that is not put together with others: copying it would cost more than a system call."""


class ServerInformation(NamedTuple):
    """What the daemon said about itself and the present connection."""

    server: str
    """The program that answers, `name/version`."""
    instance: str
    """32 hexadecimal digits, new for each run of the daemon."""
    session: int
    """The number of this connection in this run of the daemon."""
    calls_in_flight: int
    """How many calls the connection may have in flight."""
    largest_body_bytes: int
    """Bytes of the largest body that the daemon takes."""
    features: List[str]
    """What the daemon can do beyond version 1."""


def welcome_information(frame: Frame) -> ServerInformation:
    """Reads a WELCOME; raises ProtocolViolation where `max-frame` is missing or no number."""
    largest = frame.metadata.get("max-frame", "")
    # A number of thousands of digits is none to Python.
    if not (largest.isascii() and largest.isdigit() and len(largest) <= 10 and int(largest) <= 0xFFFFFFFF):
        raise ProtocolViolation("WELCOME without a max-frame")
    return ServerInformation(
        frame.metadata.get("server", ""), frame.metadata.get("instance", ""), frame.id, frame.aux, int(largest),
        [name for name in frame.metadata.get("features", "").replace(",", " ").split() if name],
    )


class Link(asyncio.Protocol):
    """Reads and writes frames of one connection. Made anew for each connection of a client; loop thread only.

    What a turn of the loop brings is written together, by one call at its end.
    """

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        limits = connection.limits
        self._connection = connection
        self._loop = loop
        self._item_queue_bytes = limits.item_queue_bytes
        self._largest_queue_bytes = limits.largest_queue_bytes
        self._decoder = Decoder(Direction.TO_PEER, limits.largest_frame_bytes)
        self._transport: Optional[asyncio.Transport] = None
        self._output: List[bytes] = []
        self._output_bytes = 0
        self._is_flush_due = False
        self.is_closed = False
        """Whether nobody listens to it any more."""
        self.ended: "asyncio.Future[None]" = loop.create_future()
        """Done when the socket is closed."""

        self.welcome: Optional[ServerInformation] = None
        self.ready_since = 0.0
        self.requests: Dict[int, "OutgoingRequest"] = {}
        """Requests without a RESULT, by request id."""
        self.overdue: Set[int] = set()
        """Ids of calls that this client has ended because their RESULT did not come; it still may."""
        self.pings: Dict[int, Callable[[], None]] = {}
        """What a PONG brings about, by the id of its PING."""
        self.running: Dict[int, "Running"] = {}
        """INVOKEs without a COMPLETE, by correlation id."""
        self.functions: Dict[int, "RegistrationRecord"] = {}
        """Registrations by the handle that the daemon gave them on this connection."""
        self.is_held = False
        """Whether the daemon does not read, so that items wait with their senders."""
        self.held_senders: Dict["ItemSender", None] = {}
        """Streams whose next items wait until the daemon has read more, in their order."""
        self.held_completions: List[Callable[[], None]] = []
        """Outcomes that wait until the daemon has read more, in their order."""
        self.has_subscribed = False
        self.was_heard = True
        """Whether anything came since the liveness timer last fired."""
        self.awaits_life = False
        """Whether a PING of the liveness timer has no answer yet."""
        self.goaway_was_seen = False
        """Whether the daemon has seen our GOAWAY, so that no INVOKE can be on its way."""

    @property
    def is_open(self) -> bool:
        """Whether the socket is still to be closed, which `ended` then tells."""
        return self._transport is not None and not self.ended.done()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits for anything on this connection."""
        return not self.requests and not self.running

    @property
    def largest_body_bytes(self) -> int:
        """Bytes of the largest body that may be sent."""
        return 0 if self.welcome is None else self.welcome.largest_body_bytes

    @property
    def queued_bytes(self) -> int:
        """Bytes that the socket has not taken."""
        buffered = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return self._output_bytes + buffered

    def has_room(self, body_bytes: int) -> bool:
        """Whether so many bytes more may wait for the daemon; where not, `resume_writing` comes once it has read."""
        self.flush()
        return not self.is_held or self.queued_bytes + body_bytes <= self._largest_queue_bytes

    def see_goaway(self) -> None:
        """The daemon has seen our GOAWAY."""
        self.goaway_was_seen = True

    # Writing

    def write(self, data: bytes) -> None:
        """A frame is to leave with the others of this turn."""
        self._output.append(data)
        self._output_bytes += len(data)
        if self._output_bytes > FLUSH_BYTES:
            self.flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._is_flush_due = False
        self.flush()

    def flush(self) -> None:
        """Hands the socket all that was written."""
        output = self._output
        if not output or self._transport is None:
            return
        self._output = []
        total = self._output_bytes
        self._output_bytes = 0
        if len(output) == 1:
            self._transport.write(output[0])
        elif total < SEPARATE_BYTES:
            self._transport.write(b"".join(output))
        else:
            self._write_large(output)

    def _write_large(self, output: List[bytes]) -> None:
        assert self._transport is not None
        small: List[bytes] = []
        for data in output:
            if len(data) < SEPARATE_BYTES:
                small.append(data)
                continue
            if small:
                self._transport.write(b"".join(small))
                small = []
            self._transport.write(data)
        if small:
            self._transport.write(b"".join(small))

    def drop(self) -> None:
        """Closes the socket, after one more try to have it take what was written."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._transport is None:
            return
        self.flush()
        if self._transport.get_write_buffer_size() > 0:
            self._transport.abort()
        else:
            self._transport.close()

    def drain(self, timeout: float) -> None:
        """Closes the socket once it has taken all that was written, within so many seconds."""
        self.is_closed = True
        self.flush()
        if self._transport is not None:
            self._transport.close()
            timer = self._loop.call_later(timeout, self._give_up_draining, timeout)
            self.ended.add_done_callback(lambda _: timer.cancel())

    def _give_up_draining(self, timeout: float) -> None:
        logger.warning(
            "the daemon has not read the last %d bytes within %g s (drain_timeout): outcomes are lost",
            self.queued_bytes, timeout,
        )
        self.abort()

    def abort(self) -> None:
        """Closes the socket at once, with what it has not taken."""
        if self.is_open and self._transport is not None:
            self._transport.abort()

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        high = min(self._item_queue_bytes, self._largest_queue_bytes)
        transport.set_write_buffer_limits(high=high, low=high // 2)
        if self.is_closed:
            transport.abort()

    def connection_lost(self, error: Optional[Exception]) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if isinstance(error, (BrokenPipeError, ConnectionResetError)):
            self._read_rest()
        if self.is_closed:
            return
        within = "" if self._decoder.is_between_frames else " in the middle of a frame"
        self._connection.link_ended(self, f"the daemon has closed it{within}" if error is None else reason_of(error))

    def _read_rest(self) -> None:
        """Writing has failed. A daemon that closes says why first, and that is what should be told."""
        assert self._transport is not None
        try:
            descriptor = self._transport.get_extra_info("socket").fileno()
            while not self.is_closed:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    return
                self.data_received(data)
        except (AttributeError, OSError):
            # Nothing more is there, or the loop has let go of the socket.
            pass

    def pause_writing(self) -> None:
        self.is_held = True

    def resume_writing(self) -> None:
        self.is_held = False
        senders = self.held_senders
        self.held_senders = {}
        for sender in senders:
            sender.release()
        completions = self.held_completions
        self.held_completions = []
        for complete in completions:
            complete()

    def data_received(self, data: bytes) -> None:
        if self.is_closed:
            return
        self.was_heard = True
        receive = self._connection.receive
        next_frame = self._decoder.next_frame
        try:
            self._decoder.feed(data)
            frame = next_frame()
            while frame is not None:
                receive(frame, self)
                if self.is_closed:
                    return
                frame = next_frame()
        except ProtocolViolation as violation:
            self._connection.refuse(self, violation)
        except Exception as error:
            self._connection.fail_reading(self, error)
        self._connection.finish_shutdown_if_done()

    def send(self, kind: Kind, id: int, *, aux: int = 0, status: int = 0, payload: bytes = b"") -> None:
        """Writes a frame without name and metadata."""
        self.write(encode(kind, id, aux=aux, status=status, payload=payload))


def reason_of(error: BaseException) -> str:
    """An error of the operating system in words, as they stand in the middle of a sentence."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
