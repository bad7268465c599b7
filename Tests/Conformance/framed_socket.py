"""A socket that carries frames, as either side of the conversation."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections import deque
from typing import Any, Deque, List, Tuple

from expectation import Deadline, Failure, expect_equal, shown
from wire import HEADER_BYTES, Decoder, Direction, Frame, Kind, ProtocolViolation, described, encode_frame

RECEIVE_BYTES = 1 << 20
LARGEST_BODY_BYTES = 1 << 30


class Ended(Failure):
    """The other side has closed the connection."""


class FramedSocket:
    """Sends frames, or bytes that are none, and receives frames one after another. PINGs are answered on the way."""

    def __init__(self, connection: socket.socket, incoming: Direction, who: str, deadline: Deadline) -> None:
        self._socket = connection
        self._decoder = Decoder(incoming, LARGEST_BODY_BYTES)
        self._who = who
        self._deadline = deadline
        self._frames: Deque[Tuple[Frame, bytes]] = deque()
        self._unframed = bytearray()
        self._pings = 0
        self.last_bytes = b""
        """The bytes of the frame that was received last."""

    # Sending

    def send(self, kind: int, **fields: Any) -> None:
        """Sends one frame."""
        self.send_bytes(encode_frame(Frame(kind, **fields)))

    def send_bytes(self, data: bytes) -> None:
        self._socket.settimeout(self._deadline.left() or 0.001)
        try:
            self._socket.sendall(data)
        except socket.timeout:
            raise Failure(f"the {self._who} does not read: {len(data)} bytes could not be sent") from None
        except OSError as error:
            raise Ended(f"the {self._who} has closed the connection before it could be sent more ({error})") from None

    def send_in_single_bytes(self, data: bytes) -> None:
        """Each byte alone: the next one follows when the other side has read the one before."""
        for byte in data:
            self.send_bytes(bytes((byte,)))
            self._deadline.poll("the other side to read one byte", lambda: self._unread_bytes() == 0)

    def _unread_bytes(self) -> int:
        (unread,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4))
        return int(unread)

    # Receiving

    def receive(self, what: str = "a frame") -> Frame:
        """The next frame that is neither PING nor PONG. Raises Ended where there is none any more."""
        while True:
            frame = self._next(what)
            if frame.kind == Kind.PING:
                self.send(Kind.PONG, id=frame.id, payload=frame.payload)
            elif frame.kind != Kind.PONG:
                return frame

    def expect_past_credit(self, kind: Kind, **fields: Any) -> Frame:
        """The same for a stream's other direction, where CREDIT may come at any time."""
        while True:
            frame = self.receive(kind.name)
            if frame.kind != Kind.CREDIT:
                self.put_back(frame)
                return self.expect(kind, **fields)

    def put_back(self, frame: Frame) -> None:
        """Has the frame that was received last come again."""
        self._frames.appendleft((frame, self.last_bytes))

    def expect(self, kind: Kind, **fields: Any) -> Frame:
        """The next frame, which has to be of this kind and to have these fields."""
        frame = self.receive(kind.name)
        if frame.kind != kind:
            raise Failure(f"expected {kind.name} from the {self._who}, came {described(frame)}")
        for field, expected in fields.items():
            expect_equal(f"{field} of {described(frame)}", getattr(frame, field), expected)
        return frame

    def answer_pings(self) -> None:
        """Answers the PINGs that are there, without waiting, and keeps the frames that come before and behind them."""
        try:
            self._socket.settimeout(0)
            self._take(self._socket.recv(RECEIVE_BYTES))
        except BlockingIOError:
            pass
        except OSError:
            # The end, of which whoever receives next is told.
            return
        for entry in [entry for entry in self._frames if entry[0].kind == Kind.PING]:
            self._frames.remove(entry)
            self.send(Kind.PONG, id=entry[0].id, payload=entry[0].payload)

    def expect_ping(self) -> None:
        """The next frame has to be a PING; it is answered."""
        frame = self._next("PING")
        if frame.kind != Kind.PING:
            raise Failure(f"expected PING from the {self._who}, came {described(frame)}")
        self.send(Kind.PONG, id=frame.id, payload=frame.payload)

    def expect_pong(self, id: int, payload: bytes) -> None:
        """The next frame has to be this PONG."""
        frame = self._next("PONG")
        if frame.kind != Kind.PONG or frame.id != id or frame.payload != payload:
            raise Failure(f"expected PONG id={id} payload={payload!r} from the {self._who}, came {described(frame)}")

    def barrier(self) -> List[Frame]:
        """PING, and what is there when its PONG comes: everything that the other side sent before it. Takes nothing."""
        self._pings += 1
        self.send(Kind.PING, id=self._pings)
        seen: List[Tuple[Frame, bytes]] = []
        while True:
            frame = self._next("PONG")
            if frame.kind == Kind.PONG and frame.id == self._pings:
                break
            seen.append((frame, self.last_bytes))
        self._frames.extendleft(reversed(seen))
        return [frame for frame, _ in self._frames]

    def expect_nothing(self) -> None:
        """Nothing may have come up to now."""
        frames = self.barrier()
        if frames:
            raise Failure(f"expected nothing from the {self._who}, came {described(frames[0])}")

    def rest(self) -> List[Frame]:
        """Everything up to the end, which has to come."""
        frames = []
        try:
            while True:
                frames.append(self.receive("the end of the connection"))
        except Ended:
            return frames

    def _next(self, what: str) -> Frame:
        while not self._frames:
            self._read(what)
        frame, self.last_bytes = self._frames.popleft()
        return frame

    def _read(self, what: str) -> None:
        self._socket.settimeout(self._deadline.left() or 0.001)
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except socket.timeout:
            raise self._deadline.missed(f"{what} from the {self._who}") from None
        except OSError:
            data = b""
        if not data:
            raise Ended(f"expected {what} from the {self._who}, and it has closed the connection")
        self._take(data)

    def _take(self, data: bytes) -> None:
        self._unframed += data
        try:
            for frame in self._decoder.frames(data):
                end = HEADER_BYTES + frame.body_bytes
                self._frames.append((frame, bytes(self._unframed[:end])))
                del self._unframed[:end]
        except ProtocolViolation as violation:
            raise Failure(
                f"the {self._who} has broken the protocol: {violation}, with {shown(bytes(self._unframed[:64]))}"
            ) from None

    def close(self) -> None:
        self._socket.close()
