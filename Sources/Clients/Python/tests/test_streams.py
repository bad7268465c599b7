"""Items both ways, against a daemon that the test plays."""

import asyncio
import gc
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List, Tuple
from unittest import mock

import hostcall
from hostcall._wire import Flags, Kind, Status

from .support import FakePeer, soon, until
from .test_serving import ServingTestCase


def item(peer: FakePeer, id: int, place: int, payload: bytes = b"", **fields: Any) -> None:
    peer.send(Kind.ITEM, id, aux=place, payload=payload, **fields)


class ResultItemTests(ServingTestCase):
    async def test_items_come_in_order_and_then_the_outcome(self) -> None:
        client, peer = await self.connected()
        stream = client.stream("numbers", b"3", window=8)
        call = await peer.next(Kind.CALL)
        self.assertEqual((call.aux, call.flags), (8, 0))
        for place in range(3):
            item(peer, call.id, place, b"%d" % place, encoding=1)
        peer.result(call, flags=Flags.FROM_WORKER, payload=b"three")
        self.assertEqual([(one.json(), one.encoding) async for one in stream], [(0, 1), (1, 1), (2, 1)])
        self.assertEqual((await soon(stream.reply())).text, "three")

    async def test_an_error_comes_after_the_items_before_it(self) -> None:
        client, peer = await self.connected()
        stream = client.stream("numbers")
        call = await peer.next(Kind.CALL)
        item(peer, call.id, 0, b"0")
        peer.result(call, Status.WORKER_LOST, payload=b"numbers: its worker went away")
        self.assertEqual((await soon(stream.__anext__())).payload, b"0")
        for _ in range(2):
            with self.assertRaises(hostcall.WorkerLost):
                await soon(stream.__anext__())
        with self.assertRaises(hostcall.WorkerLost):
            await stream.reply()

    async def test_credit_is_given_for_what_was_taken_half_a_window_at_a_time(self) -> None:
        client, peer = await self.connected()
        stream = client.stream("numbers", window=4)
        call = await peer.next(Kind.CALL)
        for place in range(4):
            item(peer, call.id, place)
        await soon(stream.__anext__())
        await soon(stream.__anext__())
        self.assertEqual((await peer.next(Kind.CREDIT)).aux, 2)
        item(peer, call.id, 4)
        item(peer, call.id, 5)
        peer.result(call)
        self.assertEqual(len([one async for one in stream]), 4)

    async def test_items_without_credit_or_out_of_order_break_the_protocol(self) -> None:
        for places, reason in (((0, 1, 2), "without credit"), ((1,), "at the place 1, not 0")):
            client, peer = await self.connected(reconnect=None)
            stream = client.stream("numbers", window=2)
            call = await peer.next(Kind.CALL)
            for place in places:
                item(peer, call.id, place)
            self.assertIn(reason, await peer.ends_with_goaway())
            with self.assertRaises(hostcall.ConnectionLost):
                async for _ in stream:
                    pass

    async def test_leaving_the_loop_cancels_the_call(self) -> None:
        client, peer = await self.connected()

        async def take_one() -> None:
            async for _ in client.stream("numbers"):
                break

        taking = self.begin(take_one())
        call = await peer.next(Kind.CALL)
        item(peer, call.id, 0)
        await soon(taking)
        gc.collect()
        self.assertEqual((await peer.next(Kind.CANCEL)).id, call.id)
        # What was on its way is passed over.
        item(peer, call.id, 1)
        peer.result(call, Status.CANCELLED)
        await self.is_well(client, peer)

    async def is_well(self, client: hostcall.Client, peer: FakePeer) -> None:
        calling = self.begin(client.call("f"))
        peer.result(await peer.next(Kind.CALL))
        await soon(calling)

    async def test_leaving_the_with_and_cancelling_the_task_cancel_the_call(self) -> None:
        client, peer = await self.connected()
        async with client.stream("numbers"):
            call = await peer.next(Kind.CALL)
        self.assertEqual((await peer.next(Kind.CANCEL)).id, call.id)
        stream = client.stream("numbers")
        call = await peer.next(Kind.CALL)
        for waiting in (self.begin(stream.__anext__()), self.begin(stream.reply())):
            await asyncio.sleep(0)
            waiting.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await soon(waiting)
        self.assertEqual((await peer.next(Kind.CANCEL)).id, call.id)
        peer.result(call, Status.CANCELLED)
        await self.is_well(client, peer)

    async def test_reply_alone_drops_the_items_and_lets_them_come(self) -> None:
        client, peer = await self.connected()
        stream = client.stream("numbers", window=2)
        call = await peer.next(Kind.CALL)
        replying = self.begin(stream.reply())
        granted = 2
        for place in range(6):
            if granted == place:
                granted += (await peer.next(Kind.CREDIT)).aux
            item(peer, call.id, place)
        peer.result(call, payload=b"done")
        self.assertEqual((await soon(replying)).text, "done")

    async def test_an_item_larger_than_this_client_takes_ends_the_call(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(largest_frame_bytes=200))
        stream = client.stream("numbers")
        call = await peer.next(Kind.CALL)
        item(peer, call.id, 0, bytes(201))
        await peer.next(Kind.CANCEL)
        peer.result(call, Status.CANCELLED)
        with self.assertRaisesRegex(hostcall.TooLarge, "an item has 201 bytes"):
            await soon(stream.__anext__())

    async def test_a_daemon_without_streams_is_told_of(self) -> None:
        client, _ = await self.connected(features="")
        with self.assertRaisesRegex(hostcall.Unavailable, "the daemon, fake/1, has no streams"):
            await client.stream("numbers").reply()
        with self.assertRaisesRegex(hostcall.Unavailable, "has no events"):
            await client.events("a")


class ArgumentItemTests(ServingTestCase):
    async def test_arguments_leave_as_they_are_granted_and_their_end_needs_no_credit(self) -> None:
        client, peer = await self.connected()
        asked: List[int] = []

        async def numbers() -> AsyncIterator[str]:
            for number in range(3):
                asked.append(number)
                yield str(number)

        calling = self.begin(client.call("sum", arguments=numbers()))
        call = await peer.next(Kind.CALL)
        self.assertEqual(call.flags, Flags.OPEN)
        await until(lambda: bool(asked))
        self.assertEqual(asked, [0])
        peer.send(Kind.CREDIT, call.id, aux=3)
        for place in range(3):
            frame = await peer.next(Kind.ITEM)
            self.assertEqual((frame.aux, frame.payload, frame.flags), (place, b"%d" % place, 0))
        last = await peer.next(Kind.ITEM)
        self.assertEqual((last.aux, last.payload, last.flags), (3, b"", Flags.LAST))
        peer.result(call, payload=b"3")
        self.assertEqual((await soon(calling)).text, "3")

    async def test_plain_iterables_do_too(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("sum", arguments=[b"a", hostcall.JSON(1)]))
        call = await peer.next(Kind.CALL)
        peer.send(Kind.CREDIT, call.id, aux=9)
        self.assertEqual([(await peer.next(Kind.ITEM)).payload for _ in range(3)], [b"a", b"1", b""])
        peer.result(call)
        await soon(calling)

    async def test_no_arguments_are_an_end_at_once(self) -> None:
        client, peer = await self.connected()
        calling = self.begin(client.call("sum", arguments=[]))
        call = await peer.next(Kind.CALL)
        self.assertEqual((await peer.next(Kind.ITEM)).flags, Flags.LAST)
        peer.result(call)
        await soon(calling)

    async def test_an_error_of_the_iterable_cancels_the_call_and_is_its_cause(self) -> None:
        client, peer = await self.connected()

        async def broken() -> AsyncIterator[str]:
            raise KeyError("row 7")
            yield ""

        calling = self.begin(client.call("sum", arguments=broken()))
        call = await peer.next(Kind.CALL)
        await peer.next(Kind.CANCEL)
        peer.result(call, Status.CANCELLED)
        with self.assertRaisesRegex(hostcall.Cancelled, "its arguments ended with an error: 'row 7'") as raised:
            await soon(calling)
        self.assertIsInstance(raised.exception.__cause__, KeyError)

    async def test_the_iterable_is_closed_when_the_call_ends_before_it(self) -> None:
        client, peer = await self.connected()
        closed = asyncio.Event()

        async def endless() -> AsyncIterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                closed.set()

        calling = self.begin(client.call("sum", arguments=endless()))
        call = await peer.next(Kind.CALL)
        peer.send(Kind.CREDIT, call.id, aux=1)
        await peer.next(Kind.ITEM)
        peer.result(call, Status.FAILED, flags=Flags.FROM_WORKER, payload=b"enough")
        with self.assertRaises(hostcall.Failed):
            await soon(calling)
        await soon(closed.wait())

    async def test_an_argument_larger_than_the_daemon_takes_ends_the_call(self) -> None:
        client, peer = await self.connected(max_frame=100)
        calling = self.begin(client.call("sum", arguments=[bytes(101)]))
        call = await peer.next(Kind.CALL)
        await peer.next(Kind.CANCEL)
        peer.result(call, Status.CANCELLED)
        with self.assertRaisesRegex(hostcall.TooLarge, "an argument has 101 bytes"):
            await soon(calling)


class ServedStreamTests(ServingTestCase):
    async def test_sent_items_wait_for_credit_and_go_before_the_result(self) -> None:
        sent: List[int] = []

        async def handler(request: hostcall.Request) -> str:
            self.assertTrue(request.takes_items)
            for number in range(4):
                await request.send(str(number))
                sent.append(number)
            return "done"

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000, aux=2)
        for place in range(2):
            frame = await peer.next(Kind.ITEM)
            self.assertEqual((frame.id, frame.aux, frame.payload), (7, place, b"%d" % place))
        self.assertEqual(sent, [0, 1])
        peer.send(Kind.CREDIT, 7, aux=2)
        self.assertEqual([(await peer.next(Kind.ITEM)).aux for _ in range(2)], [2, 3])
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"done")

    async def test_generators_send_what_they_yield(self) -> None:
        async def asynchronous(request: hostcall.Request) -> AsyncIterator[str]:
            for number in range(3):
                yield str(number)

        def plain(request: hostcall.BlockingRequest) -> Iterator[str]:
            yield from map(str, range(3))

        def returning(request: hostcall.BlockingRequest) -> Any:
            yield "0"
            yield "1"
            yield "2"
            return "three"

        for handler, result in ((asynchronous, b""), (plain, b""), (returning, b"three")):
            peer = await self.serving(handler)
            peer.send(Kind.INVOKE, 7, function=1, timeout=10_000, aux=5)
            self.assertEqual([(await peer.next(Kind.ITEM)).payload for _ in range(3)], [b"0", b"1", b"2"])
            self.assertEqual((await peer.next(Kind.COMPLETE)).payload, result)

    async def test_a_caller_that_takes_no_items_is_told_of(self) -> None:
        async def handler(request: hostcall.Request) -> AsyncIterator[str]:
            yield "x"

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        complete = await peer.next(Kind.COMPLETE)
        self.assertEqual(complete.status, Status.FAILED)
        self.assertIn(b"the caller takes no items", complete.payload)

    async def test_the_end_of_the_call_ends_a_generator_that_waits(self) -> None:
        closed: List[str] = []

        async def asynchronous(request: hostcall.Request) -> AsyncIterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                closed.append("async")

        def plain(request: hostcall.BlockingRequest) -> Iterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                closed.append("plain")

        for handler in (asynchronous, plain):
            peer = await self.serving(handler)
            peer.send(Kind.INVOKE, 7, function=1, timeout=10_000, aux=1)
            await peer.next(Kind.ITEM)
            peer.send(Kind.CANCEL, 7, status=Status.CANCELLED)
            self.assertEqual((await peer.next(Kind.COMPLETE)).status, Status.CANCELLED)
        self.assertEqual(closed, ["async", "plain"])

    async def test_a_caller_that_leaves_is_no_error_of_a_plain_generator(self) -> None:
        def items(request: hostcall.BlockingRequest) -> Iterator[str]:
            while True:
                yield "x"

        def arguments(request: hostcall.BlockingRequest) -> str:
            return "".join(one.text for one in request.arguments)

        cases: List[Tuple[Callable[..., Any], Dict[str, int], Kind]] = [
            (items, {"aux": 1}, Kind.ITEM), (arguments, {"flags": Flags.OPEN}, Kind.CREDIT),
        ]
        for handler, invoke, kind in cases:
            with self.subTest(handler.__name__), mock.patch("hostcall._handlers.logger.error") as logged:
                peer = await self.serving(handler)
                peer.send(Kind.INVOKE, 7, function=1, timeout=10_000, **invoke)
                await peer.next(kind)
                peer.send(Kind.CANCEL, 7, status=Status.CANCELLED)
                complete = await peer.next(Kind.COMPLETE)
                self.assertEqual((complete.status, complete.payload), (Status.CANCELLED, b""))
                logged.assert_not_called()

    async def test_an_error_of_its_own_is_logged_also_after_the_end_of_the_call(self) -> None:
        def handler(request: hostcall.BlockingRequest) -> None:
            try:
                while True:
                    request.send("x")
            except hostcall.Cancelled as error:
                raise KeyError("no such session") from error

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000, aux=1)
        await peer.next(Kind.ITEM)
        with self.assertLogs("hostcall", "ERROR"):
            peer.send(Kind.CANCEL, 7, status=Status.CANCELLED)
            await peer.next(Kind.COMPLETE)

    async def test_arguments_are_granted_when_somebody_reads_and_end_with_the_last(self) -> None:
        async def asynchronous(request: hostcall.Request) -> str:
            return ",".join([one.text async for one in request.arguments])

        def plain(request: hostcall.BlockingRequest) -> str:
            return ",".join(one.text for one in request.arguments)

        for handler in (asynchronous, plain):
            peer = await self.serving(handler, limits=hostcall.Limits(item_window=3))
            peer.send(Kind.INVOKE, 7, function=1, timeout=10_000, flags=Flags.OPEN)
            self.assertEqual((await peer.next(Kind.CREDIT)).aux, 3)
            item(peer, 7, 0, b"a")
            item(peer, 7, 1, b"b")
            item(peer, 7, 2, b"c", flags=Flags.LAST)
            while True:
                frame = await peer.next(Kind.CREDIT, Kind.COMPLETE)
                if frame.kind == Kind.COMPLETE:
                    break
            self.assertEqual(frame.payload, b"a,b,c")

    async def test_arguments_nobody_asked_for_break_the_protocol(self) -> None:
        gate = asyncio.Event()

        async def handler(request: hostcall.Request) -> None:
            await gate.wait()

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        item(peer, 7, 0)
        self.assertIn("which has no arguments", await peer.ends_with_goaway())

    async def test_a_daemon_that_does_not_read_makes_senders_wait(self) -> None:
        sent = 0

        async def handler(request: hostcall.Request) -> None:
            nonlocal sent
            for _ in range(1_000):
                await request.send(bytes(10_000))
                sent += 1

        peer = await self.serving(handler, limits=hostcall.Limits(item_queue_bytes=100_000))
        transport = peer.writer.transport
        transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(Kind.INVOKE, 7, function=1, timeout=60_000, aux=2_000)
        link = self.client._connection.link
        assert link is not None
        await until(lambda: link is not None and link.is_held)
        held = sent
        for _ in range(20):
            await asyncio.sleep(0)
        self.assertEqual(sent, held)
        self.assertLess(held, 1_000)
        transport.resume_reading()  # type: ignore[attr-defined]
        for place in range(1_000):
            self.assertEqual((await peer.next(Kind.ITEM)).aux, place)
        await peer.next(Kind.COMPLETE)
