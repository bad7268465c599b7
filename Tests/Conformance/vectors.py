"""The frames of protocol-vectors.json, and the same frames with other numbers in them."""

from __future__ import annotations

import json
from typing import Any, Dict, List, NamedTuple

from expectation import expect_equal
from framed_socket import FramedSocket
from wire import ROOT, Decoder, Direction, Frame, Kind, encode_frame

FILE = ROOT / "Tests" / "HostcallWireTests" / "protocol-vectors.json"
LARGEST_BODY_BYTES = 1 << 24


class Vector(NamedTuple):
    what: str
    way: Direction
    data: bytes
    frame: Frame


class Refused(NamedTuple):
    """Bytes that a daemon refuses."""

    what: str
    data: bytes


def _read() -> Dict[str, Any]:
    with FILE.open(encoding="utf-8") as file:
        contents: Dict[str, Any] = json.load(file)
        return contents


_CONTENTS = _read()


def _vector(entry: Dict[str, Any]) -> Vector:
    data = bytes.fromhex(entry["bytes"])
    way = Direction(entry["way"])
    (frame,) = Decoder(way, LARGEST_BODY_BYTES).frames(data)
    return Vector(entry["what"], way, data, frame)


VECTORS: List[Vector] = [_vector(entry) for entry in _CONTENTS["frames"]]
REFUSED: List[Refused] = [Refused(entry["what"], bytes.fromhex(entry["bytes"])) for entry in _CONTENTS["refused"]]


def vector(what: str) -> Vector:
    """The vector of this name."""
    return next(one for one in VECTORS if one.what == what)


def expect_vector(link: FramedSocket, vector: Vector, **rewritten: Any) -> Frame:
    """The agent sends the vector, byte for byte, but for what is rewritten and the order of metadata."""
    came = link.expect(Kind(vector.frame.kind))
    expected = vector.frame._replace(**rewritten)
    if dict(came.metadata) == dict(expected.metadata):
        expected = expected._replace(metadata=came.metadata)
    expect_equal(f"the bytes of “{vector.what}”", link.last_bytes.hex(), encode_frame(expected).hex())
    return came


def timeout_like(came: int, asked: int) -> bool:
    """Whether a timeout on the wire is what was asked for, less what has passed since."""
    return asked // 2 < came <= asked
