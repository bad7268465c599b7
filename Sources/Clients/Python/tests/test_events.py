"""Events and subscriptions, against a daemon that the test plays."""

import asyncio
import gc
import unittest
from typing import Any

import hostcall
from hostcall._events import EventBuffer
from hostcall._wire import Frame, Kind, Status

from .support import FakeDaemonTestCase, FakePeer, soon


def event(peer: FakePeer, place: int, name: str = "door.opened", **fields: Any) -> None:
    peer.send(Kind.EVENT, place, name=name, **fields)


class EventTests(FakeDaemonTestCase):
    async def subscribed(
        self, client: hostcall.Client, peer: FakePeer, pattern: str = "door.*"
    ) -> hostcall.Events:
        events = client.events(pattern)
        subscribing = self.begin(events._begin())
        request = await peer.next(Kind.SUBSCRIBE)
        self.assertEqual(request.name, pattern)
        peer.result(request, call=0)
        await soon(subscribing)
        return events

    async def test_events_come_as_they_were_published(self) -> None:
        client, peer = await self.connected()
        events = await self.subscribed(client, peer)
        event(peer, 1, encoding=1, metadata={"k": "v"}, payload=b'"front"')
        event(peer, 2, aux=3)
        first, second = await soon(events.__anext__()), await soon(events.__anext__())
        self.assertEqual((first.name, first.json(), first.metadata, first.place), ("door.opened", "front", {"k": "v"}, 1))
        self.assertEqual((first.dropped_before, first.follows_gap, second.dropped_before), (0, False, 3))

    async def test_a_plain_loop_subscribes_with_its_first_step_and_leaving_it_unsubscribes(self) -> None:
        client, peer = await self.connected()

        async def take_one() -> str:
            async for one in client.events("door.opened"):
                return one.text
            return "none"

        taking = self.begin(take_one())
        peer.result(await peer.next(Kind.SUBSCRIBE), call=0)
        event(peer, 1, payload=b"front")
        self.assertEqual(await soon(taking), "front")
        gc.collect()
        request = await peer.next(Kind.UNSUBSCRIBE)
        self.assertEqual(request.name, "door.opened")
        peer.result(request, call=0)

    async def test_readers_of_one_pattern_share_a_subscription(self) -> None:
        client, peer = await self.connected()
        first = await self.subscribed(client, peer)
        second = await soon(client.events("door.*")._begin())
        other = await self.subscribed(client, peer, "*")
        event(peer, 1, payload=b"x")
        for events in (first, second, other):
            self.assertEqual((await soon(events.__anext__())).text, "x")
        event(peer, 2, name="window.opened")
        self.assertEqual((await soon(other.__anext__())).name, "window.opened")
        first.close()
        event(peer, 3, payload=b"y")
        self.assertEqual((await soon(second.__anext__())).text, "y")
        second.close()
        self.assertEqual((await peer.next(Kind.UNSUBSCRIBE)).name, "door.*")
        with self.assertRaises(StopAsyncIteration):
            await soon(second.__anext__())

    async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(waiting_events=3))
        events = await self.subscribed(client, peer)
        for place in range(1, 11):
            event(peer, place, payload=b"%d" % place)
        peer.send(Kind.PING, 1)
        await peer.next(Kind.PONG)
        got = [await soon(events.__anext__()) for _ in range(3)]
        self.assertEqual([(one.text, one.dropped_before) for one in got], [("8", 7), ("9", 0), ("10", 0)])

    async def test_an_event_larger_than_this_client_takes_counts_as_dropped(self) -> None:
        client, peer = await self.connected(limits=hostcall.Limits(largest_frame_bytes=200))
        events = await self.subscribed(client, peer)
        event(peer, 1, payload=bytes(300))
        event(peer, 2, payload=b"small")
        one = await soon(events.__anext__())
        self.assertEqual((one.text, one.dropped_before), ("small", 1))

    async def test_a_refusal_is_the_users_to_hear(self) -> None:
        client, peer = await self.connected()
        events = client.events("door.*")
        subscribing = self.begin(events.__anext__())
        peer.result(await peer.next(Kind.SUBSCRIBE), Status.DENIED, call=0, payload=b"door.*: not for you")
        with self.assertRaisesRegex(hostcall.Denied, "not for you"):
            await soon(subscribing)
        with self.assertRaises(hostcall.InvalidArgument):
            client.events("door*")

    async def test_closing_the_client_ends_the_loop(self) -> None:
        client, peer = await self.connected()
        events = await self.subscribed(client, peer)
        event(peer, 1)
        peer.send(Kind.PING, 1)
        await peer.next(Kind.PONG)
        await client.close()
        self.assertEqual(len([one async for one in events]), 1)

    async def test_a_lost_connection_without_reconnecting_ends_the_loop_with_its_error(self) -> None:
        client, peer = await self.connected(reconnect=None)
        events = await self.subscribed(client, peer)
        peer.close()
        with self.assertRaises(hostcall.ConnectionLost):
            await soon(events.__anext__())

    async def test_publishing_tells_the_number_of_subscribers(self) -> None:
        client, peer = await self.connected()
        publishing = self.begin(client.publish("door.opened", "front", metadata={"k": "v"}))
        request = await peer.next(Kind.PUBLISH)
        self.assertEqual((request.name, request.payload, request.metadata), ("door.opened", b"front", {"k": "v"}))
        peer.result(request, call=0, aux=3)
        self.assertEqual(await soon(publishing), 3)
        self.assertEqual(await soon(client.publish("door.opened", confirm=False)), 0)
        self.assertEqual((await peer.next(Kind.PUBLISH)).id, 0)
        publishing = self.begin(client.publish("door.opened"))
        peer.result(await peer.next(Kind.PUBLISH), Status.DENIED, call=0, payload=b"door.opened: no")
        with self.assertRaises(hostcall.Denied):
            await soon(publishing)


class EventBufferTests(unittest.IsolatedAsyncioTestCase):
    async def test_bytes_bound_it_too_but_for_the_newest(self) -> None:
        buffer = EventBuffer(100, 1_000)
        for place in range(1, 6):
            buffer.put(Frame(Kind.EVENT, place, name="e", payload=bytes(400)))
        first = await buffer.next()
        assert first is not None
        self.assertEqual((first.place, first.dropped_before), (4, 3))
        buffer.put(Frame(Kind.EVENT, 6, name="e", payload=bytes(5_000)))
        largest = await buffer.next()
        assert largest is not None
        self.assertEqual((largest.place, largest.dropped_before), (6, 1))

    async def test_a_gap_is_told_once_and_moves_with_what_is_dropped(self) -> None:
        buffer = EventBuffer(1, 1_000)
        buffer.note_gap()
        for place in (1, 2):
            buffer.put(Frame(Kind.EVENT, place, name="e"))
        kept = await buffer.next()
        assert kept is not None
        self.assertEqual((kept.place, kept.dropped_before, kept.follows_gap), (2, 1, True))
        buffer.put(Frame(Kind.EVENT, 3, name="e"))
        after = await buffer.next()
        assert after is not None
        self.assertFalse(after.follows_gap)

    async def test_a_cancelled_reader_loses_no_event(self) -> None:
        buffer = EventBuffer(10, 1_000)
        readers = [asyncio.ensure_future(buffer.next()) for _ in range(2)]
        await asyncio.sleep(0)
        buffer.put(Frame(Kind.EVENT, 1, name="e"))
        readers[0].cancel()
        got = await soon(readers[1])
        assert got is not None
        self.assertEqual(got.place, 1)
