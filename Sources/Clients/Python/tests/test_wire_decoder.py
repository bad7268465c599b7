"""The decoder beyond the vectors: large frames, hostile bytes, and what it keeps."""

import random
import unittest

from hostcall._wire import Decoder, Direction, Flags, Frame, Kind, ProtocolViolation, encode_frame


def result(payload: bytes, id: int = 1) -> bytes:
    return encode_frame(Frame(Kind.RESULT, id, flags=Flags.FROM_WORKER, payload=payload))


class DecoderTests(unittest.TestCase):
    def test_a_large_frame_arrives_in_pieces_between_others(self) -> None:
        payload = random.Random(1).getrandbits(8 * 3_000_000).to_bytes(3_000_000, "little")
        stream = result(b"before", 1) + result(payload, 2) + result(b"after", 3)
        decoder = Decoder(Direction.TO_PEER, 4_000_000)
        pieces = [stream[start : start + 65_536] for start in range(0, len(stream), 65_536)]
        frames = [frame for piece in pieces for frame in decoder.frames(piece)]
        self.assertEqual([frame.payload for frame in frames], [b"before", payload, b"after"])
        self.assertTrue(all(isinstance(frame.payload, bytes) for frame in frames))
        self.assertTrue(decoder.is_between_frames)

    def test_a_too_large_frame_is_told_at_once_and_its_body_is_skipped(self) -> None:
        stream = result(b"x" * 101, 1) + result(b"y" * 100, 2)
        for step in (1, 7, 50, len(stream)):
            with self.subTest(step=step):
                decoder = Decoder(Direction.TO_PEER, 100)
                pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
                frames = [frame for piece in pieces for frame in decoder.frames(piece)]
                self.assertEqual([(frame.id, frame.is_too_large) for frame in frames], [(1, True), (2, False)])
                self.assertEqual((frames[0].body_bytes, frames[0].payload), (101, b""))
                self.assertEqual(frames[1].payload, b"y" * 100)
        decoder = Decoder(Direction.TO_PEER, 100)
        self.assertTrue(next(decoder.frames(stream[:32])).is_too_large)

    def test_a_length_field_alone_costs_no_memory(self) -> None:
        header = result(b"")[4:32]
        decoder = Decoder(Direction.TO_PEER, 0xFFFFFFFF)
        self.assertEqual(list(decoder.frames((0xFFFFFFF0).to_bytes(4, "little") + header + b"abc")), [])
        self.assertEqual(len(decoder._data), 35)

    def test_random_bytes_are_refused_or_waited_for_and_nothing_else(self) -> None:
        for seed in range(2_000):
            generator = random.Random(seed)
            data = bytearray(generator.getrandbits(8) for _ in range(generator.randint(1, 120)))
            if generator.random() < 0.8:
                # Closer to what is in order, so that more than the first rule is reached.
                data[0:4] = generator.randint(0, 90).to_bytes(4, "little")
                data[4:5] = generator.choice(list(Kind)).to_bytes(1, "little")
                flags, encoding = generator.choice((0, 0, 1, 2, 64)), generator.choice((0, 1, 3))
                data[5:8] = bytes((flags, encoding, generator.choice((0, 10, 30))))
                data[24:28] = bytes((generator.randint(0, 9), 0, generator.randint(0, 20), 0))
            for direction in Direction:
                decoder = Decoder(direction, 1_000)
                try:
                    for frame in decoder.frames(bytes(data)):
                        self.assertLessEqual(len(frame.payload), len(data))
                except ProtocolViolation as violation:
                    self.assertTrue(str(violation), f"seed {seed}")

    def test_frames_before_a_broken_one_are_given_out(self) -> None:
        decoder = Decoder(Direction.TO_PEER, 1_000)
        frames = decoder.frames(result(b"good") + b"\xff" * 40)
        self.assertEqual(next(frames).payload, b"good")
        with self.assertRaises(ProtocolViolation):
            next(frames)

    def test_an_event_needs_a_name_and_no_pattern(self) -> None:
        for name, reason in (("", "no name"), ("a.*", "pattern"), ("a..b", "malformed"), ("a\n", "malformed")):
            with self.subTest(name):
                with self.assertRaisesRegex(ProtocolViolation, reason):
                    list(Decoder(Direction.TO_PEER, 1_000).frames(encode_frame(Frame(Kind.EVENT, 1, name=name))))

    def test_the_daemon_may_write_its_own_metadata_keys(self) -> None:
        frame = Frame(Kind.INVOKE, 1, function=1, metadata={"hostcall-caller-uid": "0"})
        self.assertEqual(
            next(Decoder(Direction.TO_PEER, 1_000).frames(encode_frame(frame))).metadata, frame.metadata
        )
