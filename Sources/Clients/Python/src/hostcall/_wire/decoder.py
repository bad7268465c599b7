"""From the bytes of one connection to frames (protocol sections 2 and 3)."""

from typing import Iterator, Optional, Union

from .frame import HEADER, HEADER_BYTES, NO_METADATA, Frame
from .kinds import Direction, Kind
from .metadata import decode_metadata
from .rules import check_header, check_name
from .violation import ProtocolViolation

_unpack_header = HEADER.unpack_from


class Decoder:
    """Takes the bytes of one connection in any fragmentation and gives back whole, checked frames.

    A frame is refused as soon as its header shows that it breaks a rule. Memory grows with the bytes that came, never
    with what a length field asks for. A frame whose body is larger than `largest_body_bytes` is given out at once as
    one that `is_too_large`, and its body is thrown away as it comes.

    For one thread at a time.
    """

    def __init__(self, direction: Direction, largest_body_bytes: int) -> None:
        self._direction = direction
        self._largest_body_bytes = largest_body_bytes
        self._data: Union[bytes, bytearray] = b""
        self._position = 0
        # Bytes from the position on that the next step needs: of a header, then of the whole frame.
        self._needed_bytes = HEADER_BYTES
        self._bytes_to_skip = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether all that was fed belongs to frames that have come whole."""
        return self._position == len(self._data) and self._bytes_to_skip == 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the connection."""
        if self._bytes_to_skip:
            skipped = min(self._bytes_to_skip, len(data))
            self._bytes_to_skip -= skipped
            data = data[skipped:]
        if self._position == len(self._data):
            self._data = data
            self._position = 0
            return
        if not isinstance(self._data, bytearray):
            self._data = bytearray(memoryview(self._data)[self._position :])
            self._position = 0
        elif self._position:
            del self._data[: self._position]
            self._position = 0
        self._data += data

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Feeds bytes and gives out the frames that are whole then; raises ProtocolViolation after those before it."""
        self.feed(data)
        while True:
            frame = self.next_frame()
            if frame is None:
                return
            yield frame

    def next_frame(self) -> Optional[Frame]:
        """The next frame that has come whole, or None where more bytes are needed.

        Raises ProtocolViolation, and after that the connection cannot be decoded any further.
        """
        data = self._data
        start = self._position
        left = len(data) - start
        if left < self._needed_bytes:
            return None
        size, kind, flags, encoding, status, id, function, timeout, name_bytes, metadata_bytes, aux = _unpack_header(
            data, start
        )
        if self._needed_bytes == HEADER_BYTES:
            # Not yet checked; most frames are outcomes and calls in order, for which little has to be looked at.
            is_plain = flags == 0x40 and status == 0 and encoding <= 2 and kind == Kind.RESULT and id
            if not is_plain or name_bytes + metadata_bytes or self._direction is not Direction.TO_PEER:
                check_header(
                    self._direction, size, kind, flags, encoding, status, id, function, name_bytes, metadata_bytes, aux
                )
            if size > self._largest_body_bytes:
                return self._skip_body(
                    Frame(
                        kind, id, flags, encoding, status, function, timeout, aux, "", NO_METADATA, b"", size, True
                    )
                )
            if left < HEADER_BYTES + size:
                self._needed_bytes = HEADER_BYTES + size
                return None
        self._needed_bytes = HEADER_BYTES
        body = start + HEADER_BYTES
        end = body + size
        self._position = end
        name = ""
        metadata = NO_METADATA
        if name_bytes or metadata_bytes:
            metadata_start = body + name_bytes
            body = metadata_start + metadata_bytes
            if name_bytes:
                name_part = bytes(data[metadata_start - name_bytes : metadata_start])
                check_name(kind, name_part)
                name = name_part.decode("ascii")
            if metadata_bytes:
                metadata = self._decode_metadata(kind, bytes(data[metadata_start:body]))
        if isinstance(data, bytearray):
            # A slice of the bytes themselves would copy twice.
            with memoryview(data) as view:
                payload = bytes(view[body:end])
        else:
            payload = data[body:end]
        return Frame(
            kind, id, flags, encoding, status, function, timeout, aux, name, metadata, payload, size, False
        )

    def _decode_metadata(self, kind: int, data: bytes) -> "dict[str, str]":
        try:
            return decode_metadata(data, allows_reserved_keys=self._direction is Direction.TO_PEER)
        except ProtocolViolation as violation:
            raise ProtocolViolation(f"{Kind(kind).name}: {violation}") from None

    def _skip_body(self, frame: Frame) -> Frame:
        left = len(self._data) - self._position - HEADER_BYTES
        skipped = min(left, frame.body_bytes)
        self._position += HEADER_BYTES + skipped
        self._bytes_to_skip = frame.body_bytes - skipped
        return frame
