"""Calls against a daemon that the test plays: frames, outcomes, cancelling, deadlines, limits."""

import asyncio
import datetime
import time
from typing import List, Union
from unittest import mock

import hostcall
from hostcall._wire import Flags, Kind, REQUEST_MARK, Status

from .support import FakeDaemonTestCase, FakePeer, soon, until


class CallingTests(FakeDaemonTestCase):
    async def test_a_call_goes_out_as_it_was_made_and_its_result_comes_back_whole(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(
            client.call(
                "token.fetch", hostcall.JSON({"a": 1}), timeout=datetime.timedelta(milliseconds=250),
                metadata={"k": "v"}, wait=True, idempotent=True,
            )
        )
        call = await peer.next(Kind.CALL)
        self.assertTrue(call.id & REQUEST_MARK)
        self.assertEqual(call.flags, Flags.WAIT | Flags.IDEMPOTENT)
        self.assertEqual((call.name, call.payload, call.encoding), ("token.fetch", b'{"a":1}', 1))
        self.assertIn(call.timeout, range(1, 251))
        self.assertEqual(call.metadata, {"k": "v"})
        peer.result(call, flags=Flags.FROM_WORKER, call=1 << 40 | 3, encoding=1, metadata={"m": "n"}, payload=b"[1]")
        reply = await soon(calling)
        self.assertEqual((reply.json(), reply.encoding, reply.metadata), ([1], hostcall.Encoding.JSON, {"m": "n"}))
        self.assertEqual(reply.correlation_id, 1 << 40 | 3)

    async def test_outcomes_come_in_any_order(self) -> None:
        client, peer = await self.connected()
        tasks = [self.begin(client.call("f", str(number))) for number in range(5)]
        calls = [await peer.next(Kind.CALL) for _ in tasks]
        for call in reversed(calls):
            peer.result(call, payload=b"re " + call.payload)
        self.assertEqual([(await soon(task)).text for task in tasks], [f"re {number}" for number in range(5)])

    async def test_an_error_says_whose_it_is_and_which_call(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("token.fetch"))
        peer.result(
            await peer.next(Kind.CALL), Status.TIMEOUT, call=4294967301,
            payload=b"token.fetch: no outcome within 250 ms",
        )
        with self.assertRaises(TimeoutError) as raised:
            await soon(calling)
        self.assertEqual(
            str(raised.exception),
            "token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)",
        )
        calling = self.begin(client.call("token.fetch"))
        peer.result(
            await peer.next(Kind.CALL), 200, flags=Flags.FROM_WORKER, encoding=1, metadata={"k": "v"}, payload=b"[2]"
        )
        with self.assertRaises(hostcall.ApplicationError) as failed:
            await soon(calling)
        error = failed.exception
        self.assertEqual((error.origin, error.status, error.json(), error.metadata), ("worker", 200, [2], {"k": "v"}))

    async def test_cancelling_the_task_cancels_the_call_and_its_result_is_passed_over(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("f"))
        call = await peer.next(Kind.CALL)
        calling.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await soon(calling)
        self.assertEqual((await peer.next(Kind.CANCEL)).id, call.id)
        peer.result(call, Status.CANCELLED)
        again = self.begin(client.call("g"))
        peer.result(await peer.next(Kind.CALL), payload=b"fine")
        self.assertEqual((await soon(again)).text, "fine")

    async def test_wait_for_cancels_the_call(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(asyncio.wait_for(client.call("f"), 0.01))
        call = await peer.next(Kind.CALL)
        self.assertEqual((await peer.next(Kind.CANCEL)).id, call.id)
        with self.assertRaises(asyncio.TimeoutError):
            await soon(calling)

    async def test_a_call_without_time_is_not_sent(self) -> None:
        client, peer = await self.connected()
        timeouts: List[Union[float, datetime.timedelta]] = [0, -1, datetime.timedelta(seconds=-5)]
        for timeout in timeouts:
            with self.assertRaisesRegex(hostcall.CallTimeout, "no time was left"):
                await client.call("f", timeout=timeout)
        await self.nothing_was_sent(client, peer)

    async def test_a_daemon_that_does_not_answer_in_time_ends_nothing_else(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(answer_grace=0.05))
        calling = self.begin(client.call("f", timeout=0.2))
        stream = client.stream("g", timeout=0.2, arguments=["x"])
        first, second = await peer.next(Kind.CALL), await peer.next(Kind.CALL)
        sentence = r"TIMEOUT: the daemon has not answered within 0\.05 s of the deadline"
        with self.assertRaisesRegex(hostcall.CallTimeout, "f: " + sentence) as raised:
            await soon(calling)
        self.assertEqual((raised.exception.origin, raised.exception.status), ("client", Status.TIMEOUT))
        with self.assertRaisesRegex(hostcall.CallTimeout, "g: " + sentence):
            await soon(stream.__anext__())
        cancelled = {(await peer.next(Kind.CANCEL)).id, (await peer.next(Kind.CANCEL)).id}
        self.assertEqual(cancelled, {first.id, second.id})
        # What comes late is passed over, and only once.
        peer.send(Kind.ITEM, second.id, payload=b"late")
        peer.send(Kind.CREDIT, second.id, aux=1)
        peer.result(first, payload=b"late")
        peer.result(second, Status.TIMEOUT)
        await self.nothing_was_sent(client, peer)
        peer.result(first)
        self.assertIn("not outstanding", await peer.ends_with_goaway())

    async def test_a_cancelled_call_that_is_not_answered_holds_up_no_shutdown(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(answer_grace=0.01))
        calling = self.begin(client.call("f", timeout=0.05))
        await peer.next(Kind.CALL)
        calling.cancel()
        await peer.next(Kind.CANCEL)
        leaving = self.begin(client.shutdown())
        await peer.next(Kind.GOAWAY)
        peer.send(Kind.PONG, (await peer.next(Kind.PING)).id)
        await soon(leaving)

    async def test_a_call_that_waits_for_a_connection_ends_at_its_deadline(self) -> None:
        client, peer = await self.connected()
        peer.close()
        await until(lambda: client.server is None)
        # The next connection is taken, and says nothing.
        for calling in (client.call("f", timeout=0.01), client.stream("f", timeout=0.01).reply()):
            with self.assertRaisesRegex(hostcall.CallTimeout, "f: TIMEOUT: there was no connection to hostcalld at"):
                await soon(calling)

    async def test_what_no_daemon_would_take_is_not_sent(self) -> None:
        client, peer = await self.connected()
        for attempt in (
            client.call("a.*"), client.call("f", encoding=5), client.call("f", metadata={"hostcall-x": "y"}),
            client.call("f", timeout=float("nan")), client.publish("hostcall.x"),
        ):
            with self.assertRaises(hostcall.InvalidArgument):
                await attempt
        with self.assertRaises(TypeError):
            await client.call("f", {"a": 1})  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            await client.call("f", arguments="text")
        with self.assertRaises(TypeError):
            await client.call("f", arguments=5)  # type: ignore[arg-type]
        await self.nothing_was_sent(client, peer)

    async def nothing_was_sent(self, client: hostcall.Client, peer: FakePeer) -> None:
        pinging = self.begin(client.ping())
        ping = await peer.next(Kind.PING)
        peer.send(Kind.PONG, ping.id)
        self.assertGreater(await soon(pinging), 0)

    async def test_no_reply_wants_none(self) -> None:
        client, peer = await self.connected()
        await soon(client.send("f", "x"))
        call = await peer.next(Kind.CALL)
        self.assertEqual((call.flags, call.payload), (Flags.NO_REPLY, b"x"))

    async def test_calls_inherit_the_deadline_and_the_trace(self) -> None:
        client, peer = await self.connected()
        context = hostcall.Context(9, time.monotonic() + 0.5, "00-parent", "state")
        with hostcall.inherit(context):
            for timeout in (None, 60.0):
                self.begin(client.call("f", timeout=timeout, metadata={"k": "v"}))
                call = await peer.next(Kind.CALL)
                self.assertIn(call.timeout, range(1, 501))
                self.assertEqual(call.metadata, {"k": "v", "traceparent": "00-parent", "tracestate": "state"})
            self.begin(client.call("f", timeout=0.1, metadata={"traceparent": "own"}))
            call = await peer.next(Kind.CALL)
            self.assertIn(call.timeout, range(1, 101))
            self.assertEqual(call.metadata, {"traceparent": "own"})
        with hostcall.inherit(hostcall.Context(9, time.monotonic() - 1)):
            with self.assertRaises(hostcall.CallTimeout):
                await client.call("f")

    async def test_a_call_larger_than_the_daemon_takes_is_too_large_at_once(self) -> None:
        client, peer = await self.connected(max_frame=100)
        with self.assertRaisesRegex(hostcall.TooLarge, "103 bytes, and the daemon takes 100 at most"):
            await client.call("f", b"x" * 102)
        calling = self.begin(client.call("f", b"x" * 99))
        peer.result(await peer.next(Kind.CALL))
        await soon(calling)

    async def test_a_result_larger_than_this_client_takes_ends_its_call_alone(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(largest_frame_bytes=200))
        calling = self.begin(client.call("f"))
        other = self.begin(client.call("g"))
        peer.result(await peer.next(Kind.CALL), payload=b"x" * 201, call=8)
        with self.assertRaisesRegex(hostcall.TooLarge, "201 bytes, and this client takes 200") as raised:
            await soon(calling)
        self.assertEqual(raised.exception.correlation_id, 8)
        peer.result(await peer.next(Kind.CALL), payload=b"x" * 200)
        self.assertEqual(len((await soon(other)).payload), 200)

    async def test_a_daemon_that_does_not_read_makes_calls_overloaded(self) -> None:
        client, peer = await self.connected(
            limits=hostcall.Limits(largest_queue_bytes=3 << 20), max_frame=8 << 20
        )
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        tasks = [self.begin(client.call("f", bytes(1 << 20))) for _ in range(12)]
        await soon(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))
        refused = [task for task in tasks if task.done()]
        self.assertTrue(refused)
        for task in refused:
            with self.assertRaisesRegex(hostcall.Overloaded, "largest_queue_bytes"):
                task.result()
        # The others are on their way once it reads again.
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(len(tasks) - len(refused)):
            peer.result(await peer.next(Kind.CALL))
        for task in tasks:
            if task not in refused:
                await soon(task)

    async def test_many_calls_of_one_turn_leave_in_one_piece(self) -> None:
        client, peer = await self.connected()
        link = client._connection.link
        assert link is not None
        writes = mock.Mock(wraps=link._transport)
        link._transport = writes
        tasks = [self.begin(client.call("f")) for _ in range(50)]
        for _ in tasks:
            peer.result(await peer.next(Kind.CALL))
        await soon(asyncio.gather(*tasks))
        self.assertEqual(writes.write.call_count, 1)
