"""Making, losing and leaving connections, against a daemon that the test plays."""

import asyncio
import errno
import os
import socket
import tempfile
import unittest
from unittest import mock

import hostcall
from hostcall._wire import HELLO_ID, Flags, Kind, Status

from .support import FakeDaemonTestCase, soon, until


class GreetingTests(FakeDaemonTestCase):
    async def test_hello_says_who_and_welcome_is_told(self) -> None:
        connecting = self.begin(self._named())
        peer = await self.daemon.accept()
        hello = await peer.welcome()
        self.assertEqual((hello.id, hello.function, hello.aux), (HELLO_ID, 1, 1))
        self.assertEqual(hello.metadata, {"client": "me/1", "features": "streams,events"})
        client = await soon(connecting)
        assert client.server is not None
        self.assertEqual((client.server.server, client.server.session, client.server.calls_in_flight), ("fake/1", 5, 100))
        await client.close()

    async def _named(self) -> hostcall.Client:
        return await hostcall.connect(self.daemon.path, client_name="me/1")

    async def _refused(self, **welcome: object) -> str:
        connecting = self.begin(self._named())
        peer = await self.daemon.accept()
        await peer.next(Kind.HELLO)
        peer.send(Kind.WELCOME, 5, **welcome)
        with self.assertRaises(hostcall.CannotConnect) as raised:
            await soon(connecting)
        return str(raised.exception)

    async def test_a_welcome_that_is_none(self) -> None:
        self.assertIn(
            "it speaks the protocol versions 2 to 3, and this client 1",
            await self._refused(status=Status.VERSION, payload=b"2 to 3"),
        )
        self.assertIn("OVERLOADED: too many", await self._refused(status=Status.OVERLOADED, payload=b"too many"))
        self.assertIn("version 2", await self._refused(function=2, metadata={"max-frame": "1"}))
        for number in ("much", "9" * 11, "9" * 5_000):
            self.assertIn("max-frame", await self._refused(function=1, metadata={"max-frame": number}))

    async def test_a_daemon_that_says_nothing_is_given_up(self) -> None:
        limits = hostcall.Limits(connect_timeout=0.05)
        with self.assertRaisesRegex(hostcall.CannotConnect, r"has not answered within 0\.05 s"):
            await soon(self._connect(limits, None))

    async def test_a_daemon_that_closes_at_once(self) -> None:
        connecting = self.begin(self._named())
        (await self.daemon.accept()).close()
        with self.assertRaisesRegex(hostcall.CannotConnect, "the daemon has closed it"):
            await soon(connecting)

    async def test_a_refusal_by_goaway_says_why(self) -> None:
        connecting = self.begin(self._named())
        peer = await self.daemon.accept()
        peer.send(Kind.GOAWAY, status=Status.OVERLOADED, payload=b"connections: 3 are the most")
        with self.assertRaisesRegex(hostcall.CannotConnect, "OVERLOADED from the daemon: connections: 3 are the most"):
            await soon(connecting)

    async def test_cancelling_the_connect_closes_the_connection(self) -> None:
        connecting = self.begin(self._named())
        peer = await self.daemon.accept()
        await peer.next(Kind.HELLO)
        connecting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await soon(connecting)
        await peer.ended()


class AbsentDaemonTests(unittest.IsolatedAsyncioTestCase):
    async def test_says_which_socket_and_what_to_do(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "none.sock")
            with self.assertRaises(ConnectionError) as raised:
                await hostcall.connect(path)
            self.assertEqual(
                str(raised.exception),
                f"cannot reach hostcalld at {path}: no such file or directory (start it with: hostcalld, or set "
                "HOSTCALL_SOCKET)",
            )
            with self.assertRaisesRegex(hostcall.CannotConnect, "too long"):
                await hostcall.connect(os.path.join(folder, "x" * 200))
            with self.assertRaises(hostcall.CannotConnect):
                hostcall.sync.connect(path)

    async def test_waits_for_a_daemon_whose_queue_is_full(self) -> None:
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(folder, "full.sock")
            listener.bind(path)
            listener.listen(0)
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(path)
                with self.assertRaisesRegex(hostcall.CannotConnect, "overloaded"):
                    await soon(hostcall.connect(path, limits=hostcall.Limits(connect_timeout=0.05))._connect())
                connecting = asyncio.ensure_future(hostcall.connect(path)._connect())
                await asyncio.sleep(0)
                self.assertFalse(connecting.done())
                listener.accept()[0].close()
                self.assertEqual(await soon(asyncio.get_running_loop().run_in_executor(None, self._greeted, listener)), 1)
                with self.assertRaises(hostcall.CannotConnect):
                    await soon(connecting)


    @staticmethod
    def _greeted(listener: socket.socket) -> int:
        """Accepts one connection, and ends it; gives back the kind of its first frame."""
        accepted, _ = listener.accept()
        with accepted:
            return accepted.recv(32)[4]


class LosingTests(FakeDaemonTestCase):
    async def test_calls_in_flight_fail_at_once_and_the_next_call_connects_again(self) -> None:
        client, peer = await self.connected()
        calls = [self.begin(client.call("f")) for _ in range(3)]
        for _ in calls:
            await peer.next(Kind.CALL)
        peer.close()
        for call in calls:
            with self.assertRaisesRegex(hostcall.ConnectionLost, "was lost: the daemon has closed it") as raised:
                await soon(call)
            self.assertEqual(raised.exception.function, "f")
        self.assertIsNone(client.server)
        with self.assertRaises(hostcall.ConnectionLost):
            await client.ping()
        calling = self.begin(client.call("again"))
        peer = await self.daemon.accept()
        await peer.welcome()
        peer.result(await peer.next(Kind.CALL), payload=b"ok")
        self.assertEqual((await soon(calling)).text, "ok")

    async def test_what_the_daemon_says_before_it_closes_is_told_even_where_writing_fails(self) -> None:
        client, peer = await self.connected()
        peer.send(Kind.GOAWAY, status=Status.OVERLOADED, payload=b"too much waits for you")
        link = client._connection.link
        assert link is not None and link._transport is not None
        # Nothing is read before the write has failed.
        link._transport.pause_reading()
        peer.close()
        await peer.writer.wait_closed()
        with self.assertRaisesRegex(hostcall.ConnectionLost, "OVERLOADED from the daemon: too much waits for you"):
            await soon(client.call("f"))

    async def test_without_reconnecting_the_loss_is_the_end(self) -> None:
        client, peer = await self.connected(reconnect=None)
        peer.close()
        self.assertIsInstance(await soon(client.wait_closed()), hostcall.ConnectionLost)
        self.assertTrue(client.is_closed)
        with self.assertRaises(hostcall.ConnectionLost):
            await client.call("f")

    async def test_a_socket_that_cannot_be_made_is_an_attempt_that_failed(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: "x"))
        await peer.register()
        await soon(registering)
        too_many = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        with mock.patch("hostcall._connection.socket.socket", side_effect=too_many) as making:
            with self.assertRaisesRegex(hostcall.CannotConnect, "cannot reach hostcalld at .*: too many open files"):
                await soon(self._connect(hostcall.Limits(), None))
            peer.close()
            await until(lambda: making.call_count > 3)
        # The next attempt is as good as any.
        peer = await self.daemon.accept()
        await peer.welcome()
        await peer.register()

    async def test_registrations_and_subscriptions_come_back(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: "x", concurrency=3, mode="replace"))
        first = await peer.register(handle=4)
        await soon(registering)
        events = client.events("door.*")
        subscribing = self.begin(events._begin())
        peer.result(await peer.next(Kind.SUBSCRIBE), call=0)
        await soon(subscribing)
        peer.close()
        peer = await self.daemon.accept()
        await peer.welcome()
        again = await peer.register(handle=9)
        self.assertEqual((again.name, again.aux, again.metadata), (first.name, 3, {"mode": "replace"}))
        peer.result(await peer.next(Kind.SUBSCRIBE), call=0)
        peer.send(Kind.EVENT, 1, name="door.opened")
        self.assertTrue((await soon(events.__anext__())).follows_gap)
        peer.send(Kind.INVOKE, 7, function=9, timeout=1000)
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"x")

    async def test_a_registration_that_is_not_taken_back_is_tried_again(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: "x"))
        await peer.register()
        await soon(registering)
        peer.close()
        peer = await self.daemon.accept()
        await peer.welcome()
        with self.assertLogs("hostcall", "WARNING"):
            peer.result(await peer.next(Kind.REGISTER), Status.ALREADY_REGISTERED, call=0, payload=b"f: taken")
            await peer.register(handle=2)

    async def test_a_worker_tries_until_the_daemon_is_back(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: "x"))
        await peer.register()
        await soon(registering)
        for _ in range(3):
            peer.close()
            peer = await self.daemon.accept()
            await peer.next(Kind.HELLO)
        peer.send(Kind.WELCOME, 5, function=1, aux=1, metadata={"max-frame": "1000"})
        await peer.register()

    async def test_a_silent_daemon_is_asked_and_then_given_up(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(liveness_limit=0.15))
        calling = self.begin(client.call("f"))
        await peer.next(Kind.CALL)
        ping = await peer.next(Kind.PING)
        peer.send(Kind.PONG, ping.id)
        await peer.next(Kind.PING)
        with self.assertRaisesRegex(hostcall.ConnectionLost, r"answered nothing for 0\.15 s"):
            await soon(calling)

    async def test_a_client_that_waits_for_nothing_asks_nothing(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(liveness_limit=0.03))
        link = client._connection.link
        assert link is not None
        for _ in range(4):
            await until(lambda: link is not None and not link.was_heard)
            peer.send(Kind.PONG, 1)
            await until(lambda: link is not None and link.was_heard)
        pinging = self.begin(client.ping())
        peer.send(Kind.PONG, (await peer.next(Kind.PING)).id)
        await soon(pinging)

    async def test_hostile_frames_lose_the_connection_with_an_error(self) -> None:
        for name, kind, fields, reason in (
            ("a kind of the other side", Kind.CALL, {"id": 1, "name": "f"}, "not for this side"),
            ("a result of nothing", Kind.RESULT, {"id": 99}, "not outstanding"),
            ("an unknown flag", Kind.RESULT, {"id": 1, "flags": 1}, "means nothing there"),
            ("an unknown handle", Kind.INVOKE, {"id": 1, "function": 8}, "never gave out"),
            ("a second WELCOME", Kind.WELCOME, {"id": 1, "function": 1, "metadata": {"max-frame": "1"}}, "second"),
            ("an event for nobody", Kind.EVENT, {"id": 1, "name": "a"}, "without a subscription"),
            ("an item of no call", Kind.ITEM, {"id": 1 << 63 | 1}, "without credit"),
            ("open files", Kind.RESULT, {"id": 1 << 63 | 1, "flags": 0x10}, "did not name"),
            ("a reserved status", Kind.CANCEL, {"id": 1, "status": 77}, "reserved status"),
        ):
            with self.subTest(name):
                client, peer = await self.connected(reconnect=None)
                calling = self.begin(client.call("f"))
                await peer.next(Kind.CALL)
                peer.send(kind, **fields)  # type: ignore[arg-type]
                self.assertIn(reason, await peer.ends_with_goaway())
                with self.assertRaisesRegex(hostcall.ConnectionLost, "broke the protocol"):
                    await soon(calling)

    async def test_an_error_of_this_client_loses_the_connection_and_says_why(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("f"))
        call = await peer.next(Kind.CALL)
        with mock.patch("hostcall._requests.reply_from_wire", side_effect=MemoryError("no memory")):
            with self.assertLogs("hostcall", "ERROR"):
                peer.result(call)
                await peer.ended()
        with self.assertRaisesRegex(hostcall.ConnectionLost, "was lost: this client failed: no memory"):
            await soon(calling)
        other = self.begin(client.call("g"))
        peer = await self.daemon.accept()
        await peer.welcome()
        peer.result(await peer.next(Kind.CALL))
        await soon(other)

    async def test_a_body_that_does_not_fit_loses_the_connection(self) -> None:
        client, peer = await self.connected(reconnect=None)
        calling = self.begin(client.call("f"))
        call = await peer.next(Kind.CALL)
        header = bytearray(32)
        header[4] = Kind.RESULT
        header[8:16] = call.id.to_bytes(8, "little")
        header[24] = 9
        peer.writer.write(bytes(header))
        self.assertIn("too small", await peer.ends_with_goaway())
        with self.assertRaises(hostcall.ConnectionLost):
            await soon(calling)


class LeavingTests(FakeDaemonTestCase):
    async def test_ping_is_answered_at_once_with_its_payload(self) -> None:
        _, peer = await self.connected()
        peer.send(Kind.PING, 77, payload=b"12345678")
        pong = await peer.next(Kind.PONG)
        self.assertEqual((pong.id, pong.payload), (77, b"12345678"))

    async def test_close_fails_what_is_under_way(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("f"))
        await peer.next(Kind.CALL)
        await soon(client.close())
        with self.assertRaises(hostcall.Closed):
            await soon(calling)
        with self.assertRaisesRegex(hostcall.Closed, "this client is closed"):
            await client.call("f")
        with self.assertRaises(hostcall.Closed):
            await client.ping()
        self.assertIsNone(await soon(client.wait_closed()))
        await peer.ended()
        await client.close()

    async def test_what_was_sent_before_close_still_leaves(self) -> None:
        client, peer = await self.connected()
        sending = [self.begin(client.send("f", str(number))) for number in range(20)]
        await soon(asyncio.gather(*sending))
        await client.close()
        self.assertEqual([(await peer.next(Kind.CALL)).payload for _ in range(20)], [b"%d" % n for n in range(20)])

    async def test_shutdown_finishes_what_runs_and_lets_handlers_call(self) -> None:
        client, peer = await self.connected()
        gate = asyncio.Event()

        async def answer(request: hostcall.Request) -> str:
            await gate.wait()
            return (await request.client.call("inner")).text

        registering = self.begin(client.register("f", answer))
        await peer.register()
        await soon(registering)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        await until(lambda: bool(client._connection.link and client._connection.link.running))
        leaving = self.begin(client.shutdown())
        await peer.next(Kind.GOAWAY)
        ping = await peer.next(Kind.PING)
        # It was on its way before the daemon had seen the GOAWAY.
        peer.send(Kind.INVOKE, 8, function=1, timeout=10_000)
        peer.send(Kind.PONG, ping.id)
        with self.assertRaisesRegex(hostcall.Closed, "shutting down"):
            await client.call("g")
        gate.set()
        for _ in range(2):
            peer.result(await peer.next(Kind.CALL), payload=b"in")
        self.assertEqual({(await peer.next(Kind.COMPLETE)).id for _ in range(2)}, {7, 8})
        await soon(leaving)
        await peer.ended()

    async def test_shutdown_waits_until_the_last_result_has_left(self) -> None:
        for is_cut_short in (False, True):
            client, peer = await self.connected()
            gate = asyncio.Event()

            async def answer(request: hostcall.Request, gate: asyncio.Event = gate) -> bytes:
                await gate.wait()
                return bytes(900_000)

            registering = self.begin(client.register("f", answer))
            await peer.register()
            await soon(registering)
            peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
            leaving = self.begin(client.shutdown())
            await peer.next(Kind.GOAWAY)
            peer.send(Kind.PONG, (await peer.next(Kind.PING)).id)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            gate.set()
            await until(lambda: client.is_closed)
            self.assertFalse(leaving.done())
            if is_cut_short:
                await soon(client.close())
            else:
                peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
                self.assertEqual(len((await peer.next(Kind.COMPLETE)).payload), 900_000)
            await soon(leaving)

    async def test_shutdown_does_not_wait_for_ever_for_a_daemon_that_does_not_read(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(drain_timeout=0.05))

        async def answer(request: hostcall.Request) -> bytes:
            return bytes(900_000)

        registering = self.begin(client.register("f", answer))
        await peer.register()
        await soon(registering)
        leaving = self.begin(client.shutdown())
        await peer.next(Kind.GOAWAY)
        ping = await peer.next(Kind.PING)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with self.assertLogs("hostcall", "WARNING") as logs:
            peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
            peer.send(Kind.PONG, ping.id)
            await soon(leaving)
        self.assertRegex(logs.output[0], r"not read the last \d+ bytes within 0\.05 s \(drain_timeout\)")

    async def test_shutdown_does_not_wait_for_ever_for_a_daemon_that_says_nothing(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(liveness_limit=0.06))
        await soon(client.shutdown())
        self.assertTrue(client.is_closed)

    async def test_a_daemon_that_asks_for_life_and_reads_nothing_is_given_up(self) -> None:
        largest = 1 << 16
        client, peer = await self.connected(limits=hostcall.Limits(largest_queue_bytes=largest), reconnect=None)
        link = client._connection.link
        assert link is not None
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        most = 0
        ids = iter(range(1, 1 << 20))
        while not client.is_closed:
            for _ in range(100):
                peer.send(Kind.PING, next(ids), payload=b"12345678")
            await asyncio.sleep(0)
            most = max(most, link.queued_bytes)
        self.assertIn("sends PING and reads nothing", str(await soon(client.wait_closed())))
        self.assertTrue(largest // 2 < most < 2 * largest, most)

    async def test_goaway_of_the_daemon_lets_calls_end_and_takes_none(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("f"))
        call = await peer.next(Kind.CALL)
        peer.send(Kind.GOAWAY, status=Status.SHUTTING_DOWN, timeout=10_000, payload=b"stopping")
        peer.send(Kind.PING, 1)
        await peer.next(Kind.PONG)
        with self.assertRaises(hostcall.ShuttingDown):
            await client.call("g")
        peer.result(call, flags=Flags.FROM_WORKER, payload=b"in time")
        self.assertEqual((await soon(calling)).text, "in time")
        peer.close()
        link = client._connection
        await until(lambda: link.link is None)
        calling = self.begin(client.call("g"))
        peer = await self.daemon.accept()
        await peer.welcome()
        peer.result(await peer.next(Kind.CALL))
        await soon(calling)
