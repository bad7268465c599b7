"""Payloads, errors, limits and the other small values."""

import asyncio
import concurrent.futures
import datetime
import math
import pathlib
import pickle
import random
import re
import threading
import types
import unittest
from typing import Callable, List, Optional, Tuple

import hostcall
from hostcall._errors import error_class
from hostcall._limits import Backoff
from hostcall._payload import wire_metadata, wire_payload
from hostcall._requests import call_name, event_name, pattern_name
from hostcall._socket import socket_location
from hostcall._threads import HandlerThreads
from hostcall._timeouts import seconds, wire_milliseconds

from .support import GENEROUS, PACKAGE


class PayloadTests(unittest.TestCase):
    def test_what_can_be_sent(self) -> None:
        for payload, wire in (
            (b"\xff", (b"\xff", 0)), ("é", ("é".encode(), 0)), (bytearray(b"a"), (b"a", 0)),
            (memoryview(b"abc")[1:], (b"bc", 0)), (hostcall.JSON({"é": [1, None]}), ('{"é":[1,null]}'.encode(), 1)),
            (hostcall.Reply(b"x", encoding=200), (b"x", 200)), (hostcall.Item("t"), (b"t", 0)),
        ):
            with self.subTest(repr(payload)):
                self.assertEqual(wire_payload(payload), wire)  # type: ignore[arg-type]
        self.assertEqual(wire_payload("{}", 1), (b"{}", 1))

    def test_what_cannot_be_sent_says_what_to_do(self) -> None:
        for payload in ({"a": 1}, [1], 5, None):
            with self.assertRaisesRegex(TypeError, r"hostcall\.JSON"):
                wire_payload(payload)  # type: ignore[arg-type]
        with self.assertRaisesRegex(hostcall.InvalidArgument, "reserved"):
            wire_payload(b"", 3)
        with self.assertRaises(ValueError):
            wire_payload(hostcall.JSON(math.nan))
        texts: List[hostcall.Payload] = ["ab\udc80", hostcall.JSON("a\udc80")]
        for text in texts:
            with self.assertRaisesRegex(hostcall.InvalidArgument, r"U\+DC80 at the place 2 .* UTF-8 cannot hold"):
                wire_payload(text)

    def test_what_comes_reads_as_bytes_text_and_json(self) -> None:
        reply = hostcall.Reply(b'{"a": 1}')
        self.assertEqual((reply.text, reply.json()), ('{"a": 1}', {"a": 1}))
        self.assertEqual(hostcall.Reply(b"\xff").text, "\ufffd")
        with self.assertRaises(ValueError):
            hostcall.Reply(b"no").json()

    def test_metadata_that_cannot_travel(self) -> None:
        for metadata in (
            {"A": "x"}, {"": "x"}, {"k" * 65: ""}, {"k": "\0"}, {"k": "x" * 65_536}, {"hostcall-x": ""}, {"k": "\udc80"},
        ):
            with self.subTest(list(metadata)):
                with self.assertRaises(hostcall.InvalidArgument):
                    wire_metadata(metadata, "f")
        with self.assertRaises(hostcall.InvalidArgument):
            wire_metadata({"a": "x" * 40_000, "b": "x" * 40_000}, "f")
        with self.assertRaises(TypeError):
            wire_metadata({"a": 1}, "f")  # type: ignore[dict-item]


class NameTests(unittest.TestCase):
    def test_names_patterns_and_neither(self) -> None:
        self.assertEqual(call_name("token.fetch"), b"token.fetch")
        self.assertEqual(pattern_name("*"), b"*")
        self.assertEqual(pattern_name("a.*"), b"a.*")
        refused: List[Tuple[Callable[[str], bytes], str]] = [
            (call_name, "a.*"), (call_name, ""), (call_name, "é"), (call_name, "\ud800"), (call_name, "a\n"),
            (pattern_name, "a.*.b"), (pattern_name, "a*"), (event_name, "hostcall.x"), (event_name, "*"),
            (call_name, "a" * 256),
        ]
        for check, name in refused:
            with self.subTest(name):
                with self.assertRaises(hostcall.InvalidArgument) as raised:
                    check(name)
                self.assertIsInstance(raised.exception, ValueError)
                self.assertIsNone(raised.exception.status)
        with self.assertRaises(TypeError):
            call_name(b"bytes")


class ErrorTests(unittest.TestCase):
    def test_reads_well_on_a_terminal(self) -> None:
        error = hostcall.CallTimeout(
            "token.fetch: no outcome within 250 ms", status=6, origin="daemon", function="token.fetch",
            correlation_id=4294967301,
        )
        self.assertEqual(
            str(error), "token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)"
        )
        failed = hostcall.Failed("bad\x1b[2J", status=10, origin="worker")
        self.assertEqual(str(failed), "FAILED from the worker: bad?[2J")

    def test_is_what_python_programs_catch(self) -> None:
        self.assertTrue(issubclass(hostcall.CallTimeout, TimeoutError))
        self.assertTrue(issubclass(hostcall.CannotConnect, ConnectionError))
        self.assertTrue(issubclass(hostcall.ConnectionLost, ConnectionError))
        for status in range(1, 256):
            error = error_class(status)("text", status=status)
            self.assertIsInstance(error, hostcall.HostcallError)
            self.assertEqual(error.status, status)
        self.assertIs(error_class(200), hostcall.ApplicationError)
        self.assertIs(error_class(9), hostcall.UnknownError)

    def test_survives_pickling(self) -> None:
        error = hostcall.CallTimeout("m", status=6, origin="daemon", function="f", correlation_id=3, payload=b"p")
        copy = pickle.loads(pickle.dumps(error))
        self.assertIs(type(copy), hostcall.CallTimeout)
        self.assertEqual((str(copy), copy.payload, copy.status), (str(error), b"p", hostcall.Status.TIMEOUT))

    def test_a_failure_carries_status_and_payload(self) -> None:
        failure = hostcall.Failure(200, hostcall.JSON({"a": 1}))
        self.assertEqual((failure.status, failure.payload, failure.encoding), (200, b'{"a":1}', hostcall.Encoding.JSON))
        self.assertEqual(str(hostcall.Failure(payload="no such user")), "FAILED: no such user")
        with self.assertRaises(TypeError):
            hostcall.Failure("text alone")  # type: ignore[arg-type]


class TimeoutTests(unittest.TestCase):
    def test_goes_on_the_wire_rounded_up(self) -> None:
        most = 0xFFFFFFFF
        for duration, milliseconds in ((0.25, 250), (0.0001, 1), (0.2501, 251), (1e12, most), (math.inf, most)):
            self.assertEqual(wire_milliseconds(duration), milliseconds)
        # Whatever the clock says, a whole number of milliseconds stays one.
        for seed in range(1_000):
            now = random.Random(seed).random() * 1e7
            self.assertEqual(wire_milliseconds(now + 0.25 - now), 250)

    def test_takes_seconds_and_timedeltas(self) -> None:
        self.assertEqual(seconds(datetime.timedelta(milliseconds=1500), "f"), 1.5)
        self.assertEqual(seconds(2, "f"), 2.0)
        self.assertIsNone(seconds(None, "f"))
        for wrong in ("1", True, object()):
            with self.assertRaises(TypeError):
                seconds(wrong, "f")  # type: ignore[arg-type]
        with self.assertRaises(hostcall.InvalidArgument):
            seconds(math.nan, "f")


class LimitTests(unittest.TestCase):
    def test_defaults_are_those_of_the_readme(self) -> None:
        limits = hostcall.Limits()
        self.assertEqual(
            (limits.connect_timeout, limits.liveness_limit, limits.largest_frame_bytes, limits.largest_queue_bytes,
             limits.item_window, limits.item_queue_bytes, limits.waiting_events, limits.waiting_event_bytes),
            (5, 30, 268_435_456, 268_435_456, 32, 1_048_576, 1_024, 8_388_608),
        )

    def test_refuses_what_cannot_be(self) -> None:
        for wrong in ({"connect_timeout": 0}, {"liveness_limit": -1}, {"item_window": 0}, {"waiting_events": 0}):
            with self.assertRaises(ValueError):
                hostcall.Limits(**wrong)
        with self.assertRaises(ValueError):
            hostcall.Reconnect(initial_delay=2, maximum_delay=1)

    def test_waits_double_up_to_the_longest_and_are_shortened_by_up_to_a_half(self) -> None:
        longest = Backoff(hostcall.Reconnect(), randomness=lambda: 1.0)
        delays = [longest.next_delay() for _ in range(12)]
        self.assertEqual(delays[:4], [0.01, 0.02, 0.04, 0.08])
        self.assertEqual(delays[-1], 5.0)
        longest.reset()
        self.assertEqual(longest.next_delay(), 0.01)
        self.assertEqual(Backoff(hostcall.Reconnect(), randomness=lambda: 0.0).next_delay(), 0.005)


class SocketLocationTests(unittest.TestCase):
    def test_the_order_of_places(self) -> None:
        everything = {"HOSTCALL_SOCKET": "/s", "RUNTIME_DIRECTORY": "/r:/q", "XDG_RUNTIME_DIR": "/x"}
        self.assertEqual(socket_location(pathlib.Path("/p"), environment=everything), "/p")
        self.assertEqual(socket_location(environment=everything), "/s")
        del everything["HOSTCALL_SOCKET"]
        self.assertEqual(socket_location(environment=everything), "/r/hostcall.sock")
        self.assertEqual(socket_location(environment={**everything, "RUNTIME_DIRECTORY": ""}), "/x/hostcall.sock")
        self.assertEqual(socket_location(environment={}, user_id=0), "/run/hostcall/hostcall.sock")
        with self.assertRaisesRegex(hostcall.CannotConnect, "set HOSTCALL_SOCKET"):
            socket_location(environment={}, user_id=1000)


class VersionTests(unittest.TestCase):
    def test_is_that_of_the_product(self) -> None:
        swift = PACKAGE.parents[1] / "HostcallWire/HostcallVersion.swift"
        match = re.search(r'current = "([^"]+)"', swift.read_text(encoding="utf-8"))
        assert match is not None
        self.assertEqual(hostcall.__version__, match.group(1))

    def test_every_public_name_is_there_and_documented(self) -> None:
        for name in hostcall.__all__:
            value = getattr(hostcall, name)
            if isinstance(value, (type, types.FunctionType)):
                self.assertTrue(value.__doc__, name)


class HandlerThreadsTests(unittest.TestCase):
    def test_runs_no_more_at_once_than_may_and_uses_threads_again(self) -> None:
        threads = HandlerThreads(3, "test")
        together = threading.Barrier(4)
        identities = set()

        def meet() -> None:
            identities.add(threading.get_ident())
            together.wait(GENEROUS)

        for _ in range(2):
            for _ in range(3):
                threads.submit(meet)
            together.wait(GENEROUS)
        waiting: "concurrent.futures.Future[None]" = concurrent.futures.Future()
        gate = threading.Event()
        for _ in range(3):
            threads.submit(lambda: (gate.wait(GENEROUS), None)[1])
        threads.submit(lambda: waiting.set_result(None))
        self.assertFalse(waiting.done())
        gate.set()
        waiting.result(GENEROUS)
        self.assertLessEqual(len(identities), 3)

    def test_does_what_comes_after_its_end(self) -> None:
        threads = HandlerThreads(1, "test")
        for _ in range(3):
            done = threading.Event()
            threads.submit(done.set)
            self.assertTrue(done.wait(GENEROUS))
            threads.close()


class ContextTests(unittest.IsolatedAsyncioTestCase):
    async def test_is_inherited_inside_the_with_alone(self) -> None:
        context = hostcall.Context(5, None, "00-trace", None)
        with hostcall.inherit(context):
            self.assertIs(hostcall.current_context(), context)
            task = asyncio.ensure_future(self._seen())
        self.assertIsNone(hostcall.current_context())
        self.assertIs(await task, context)

    async def _seen(self) -> Optional[hostcall.Context]:
        return hostcall.current_context()
