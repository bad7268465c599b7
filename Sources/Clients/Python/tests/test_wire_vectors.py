"""Every frame and every refusal of protocol-vectors.json."""

import random
import unittest
from typing import Any, Dict, Iterator, List, Optional

from hostcall._wire import PROTOCOL_VERSION, Decoder, Direction, Encoding, Frame, Kind, ProtocolViolation, Status
from hostcall._wire import encode_frame

from . import vectors

LARGEST = 16 << 20

# These break no rule by themselves, but by what came before them on the connection.
BROKEN_BY_HISTORY = {"second HELLO", "CALL before HELLO"}


def pieces(data: bytes, seed: Optional[int]) -> Iterator[bytes]:
    """The bytes cut at random places; byte by byte without a seed."""
    cut = random.Random(seed)
    position = 0
    while position < len(data):
        count = 1 if seed is None else cut.randint(1, 40)
        yield data[position : position + count]
        position += count


def decode(direction: Direction, parts: "list[bytes]") -> List[Frame]:
    decoder = Decoder(direction, LARGEST)
    frames = [frame for part in parts for frame in decoder.frames(part)]
    assert decoder.is_between_frames
    return frames


def expected(vector: Dict[str, Any]) -> Frame:
    data = bytes.fromhex(vector["bytes"])
    return Frame(
        Kind[vector["kind"]], int(vector["id"]), vector["flags"], vector["encoding"], vector["status"],
        vector["function"], vector["timeout"], vector["aux"], vector["name"], vector["metadata"],
        bytes.fromhex(vector["payload"]), len(data) - 32,
    )


class VectorFrameTests(unittest.TestCase):
    def test_none_is_missing(self) -> None:
        self.assertEqual(vectors.ALL["version"], PROTOCOL_VERSION)
        self.assertEqual(len({vector["what"] for vector in vectors.FRAMES}), 32)

    def test_decodes_field_by_field_whole_and_cut_anywhere(self) -> None:
        for vector in vectors.FRAMES:
            data = bytes.fromhex(vector["bytes"])
            cuts = [[data], list(pieces(data, None))] + [list(pieces(data, seed)) for seed in range(10)]
            for parts in cuts:
                with self.subTest(vector["what"], parts=len(parts)):
                    frames = decode(Direction(vector["way"]), parts)
                    self.assertEqual(frames, [expected(vector)])
                    self.assertEqual(list(frames[0].metadata.items()), list(vector["metadata"].items()))
                    Status(frames[0].status), Encoding(frames[0].encoding)

    def test_encodes_to_the_same_bytes(self) -> None:
        for vector in vectors.FRAMES:
            with self.subTest(vector["what"]):
                self.assertEqual(encode_frame(expected(vector)).hex(), vector["bytes"])

    def test_is_refused_the_other_way_where_the_kind_is_not_for_that_side(self) -> None:
        both_ways = {"GOAWAY", "PING", "PONG", "CANCEL", "ITEM", "CREDIT"}
        for vector in vectors.FRAMES:
            data = bytes.fromhex(vector["bytes"])
            other = Direction.TO_PEER if vector["way"] == "P>D" else Direction.TO_DAEMON
            with self.subTest(vector["what"]):
                if vector["kind"] in both_ways:
                    self.assertEqual(len(decode(other, [data])), 1)
                else:
                    with self.assertRaisesRegex(ProtocolViolation, "not for this side"):
                        decode(other, [data])

    def test_all_of_one_way_arrive_as_one_stream(self) -> None:
        for direction in Direction:
            ours = [vector for vector in vectors.FRAMES if vector["way"] == direction.value]
            stream = b"".join(bytes.fromhex(vector["bytes"]) for vector in ours)
            for seed in range(20):
                with self.subTest(direction, seed=seed):
                    frames = decode(direction, list(pieces(stream, seed)))
                    self.assertEqual(frames, [expected(vector) for vector in ours])


class VectorRefusalTests(unittest.TestCase):
    def test_none_is_missing(self) -> None:
        whats = {vector["what"] for vector in vectors.REFUSED}
        self.assertEqual(len(whats), 48)
        self.assertLessEqual(BROKEN_BY_HISTORY, whats)

    def test_is_refused_whole_byte_by_byte_and_behind_a_frame_in_order(self) -> None:
        ping = encode_frame(Frame(Kind.PING, id=1))
        for vector in vectors.REFUSED:
            if vector["what"] in BROKEN_BY_HISTORY:
                continue
            data = ping + bytes.fromhex(vector["bytes"])
            for parts in ([data], list(pieces(data, None)), list(pieces(data, 7))):
                with self.subTest(vector["what"], parts=len(parts)):
                    decoder = Decoder(Direction.TO_DAEMON, LARGEST)
                    kinds = []
                    with self.assertRaises(ProtocolViolation) as raised:
                        for part in parts:
                            for frame in decoder.frames(part):
                                kinds.append(frame.kind)
                    self.assertEqual(kinds, [Kind.PING])
                    self.assertTrue(str(raised.exception))

    def test_is_a_whole_frame_where_only_history_breaks_it(self) -> None:
        for vector in vectors.REFUSED:
            if vector["what"] in BROKEN_BY_HISTORY:
                with self.subTest(vector["what"]):
                    self.assertEqual(len(decode(Direction.TO_DAEMON, [bytes.fromhex(vector["bytes"])])), 1)
