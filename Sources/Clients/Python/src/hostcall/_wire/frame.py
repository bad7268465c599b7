"""One frame as a value, and as bytes (protocol section 2)."""

import struct
from typing import Mapping, NamedTuple

from .metadata import encode_metadata

HEADER_BYTES = 32
"""Bytes of the header of every frame."""

HEADER = struct.Struct("<IBBBBQIIHHI")
"""size, kind, flags, encoding, status, id, function, timeout, name size, metadata size, aux."""

NO_METADATA: Mapping[str, str] = {}


class Frame(NamedTuple):
    """A frame: the fields of its header, and its body in its three parts.

    `kind`, `flags`, `encoding` and `status` are plain numbers, comparable to members of `Kind`, `Flags`, `Encoding`
    and `Status`.
    """

    kind: int
    id: int = 0
    flags: int = 0
    encoding: int = 0
    status: int = 0
    function: int = 0
    timeout: int = 0
    """Milliseconds, by kind."""
    aux: int = 0
    name: str = ""
    metadata: Mapping[str, str] = NO_METADATA
    payload: bytes = b""
    body_bytes: int = 0
    """The header's `size`, of a frame that was decoded; the encoder does not look at it."""
    is_too_large: bool = False
    """Whether the frame that was decoded exceeds the decoder's largest body: name, metadata and payload are then empty,
    for the body is thrown away as it comes."""

    @property
    def call(self) -> int:
        """RESULT: the correlation id of the call that it answers, 0 if none was issued."""
        return self.function | self.timeout << 32


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame, in either direction. Sizes are those of its parts.

    Checks metadata and the ranges of numbers (ValueError, `struct.error`), and no other rule: tests want to send what
    they must not.
    """
    return encode(
        frame.kind, frame.id, flags=frame.flags, encoding=frame.encoding, status=frame.status,
        function=frame.function, timeout=frame.timeout, aux=frame.aux, name=frame.name.encode(),
        metadata=encode_metadata(frame.metadata) if frame.metadata else b"", payload=frame.payload,
    )


def encode(
    kind: int, id: int = 0, *, flags: int = 0, encoding: int = 0, status: int = 0, function: int = 0, timeout: int = 0,
    aux: int = 0, name: bytes = b"", metadata: bytes = b"", payload: bytes = b"",
) -> bytes:
    """The same from parts that are bytes already."""
    name_bytes = len(name)
    metadata_bytes = len(metadata)
    header = HEADER.pack(
        name_bytes + metadata_bytes + len(payload), kind, flags, encoding, status, id, function, timeout, name_bytes,
        metadata_bytes, aux,
    )
    if metadata_bytes:
        return b"".join((header, name, metadata, payload))
    return header + name + payload
