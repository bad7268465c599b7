"""The protocol's frames: the codec of the Python client library, taken from its sources, for both directions."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# The codec is a package that needs nothing else of the library, so nothing else of it is imported.
sys.path.insert(0, str(ROOT / "Sources" / "Clients" / "Python" / "src" / "hostcall"))

from _wire import (  # noqa: E402
    HELLO_ID, REQUEST_MARK, Decoder, Direction, Flags, Frame, Kind, ProtocolViolation, Status, encode, encode_frame,
    encode_metadata,
)

HEADER_BYTES = 32

__all__ = [
    "HEADER_BYTES", "HELLO_ID", "REQUEST_MARK", "ROOT", "Decoder", "Direction", "Flags", "Frame", "Kind",
    "ProtocolViolation", "Status", "described", "encode", "encode_frame", "encode_metadata",
]

SHOWN_BYTES = 64


def described(frame: Frame) -> str:
    """A frame for people: its kind, and what in it is not nothing."""
    parts = [Kind(frame.kind).name]
    if frame.status or frame.kind in (Kind.RESULT, Kind.COMPLETE):
        parts.append(str(Status(frame.status)))
    for field in ("id", "function", "timeout", "aux", "flags", "encoding", "name"):
        value = getattr(frame, field)
        if value:
            parts.append(f"{field}={value!r}" if field == "name" else f"{field}={int(value)}")
    if frame.metadata:
        parts.append(f"metadata={dict(frame.metadata)}")
    if frame.payload:
        rest = len(frame.payload) - SHOWN_BYTES
        parts.append(f"payload={frame.payload[:SHOWN_BYTES]!r}" + (f" and {rest} bytes more" if rest > 0 else ""))
    return " ".join(parts)
