"""Subscriptions, events and publications."""

from __future__ import annotations

from agent import Agent
from behaviour import behaviour
from expectation import Failure, expect, expect_equal
from scene import Scene, expect_no_report, synchronize
from wire import Kind

EVENTS = 500
FLOOD = 5000
FLOOD_BYTES = 4096


def subscribed(agent: Agent, name: str, held: bool = False) -> str:
    subscription = agent.tell("subscribe", name=name, held=held)
    agent.expect(subscription, "done")
    return subscription


@behaviour("an event as its subscriber gets it")
def whole(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    subscription = subscribed(agent, "door.opened")
    count = publisher.publish("door.opened", b"\0front\xff", encoding=2, metadata={"by": "alice"})
    expect_equal("the number of subscribers", count, 1)
    report = agent.expect(
        subscription, "event", name="door.opened", payload=b"\0front\xff", encoding=2, metadata={"by": "alice"}
    )
    expect_equal("the number of dropped events", report.dropped, 0)
    expect_equal("whether there was a gap", report.text("gap"), None)


@behaviour("patterns: what is below them, and nothing else")
def patterns(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    subscription = subscribed(agent, "door.*")
    for name in ("door.opened", "door", "window.opened", "door.front.opened", "doors.opened"):
        publisher.publish(name)
    agent.expect(subscription, "event", name="door.opened")
    agent.expect(subscription, "event", name="door.front.opened")
    publisher.publish("door.end")
    agent.expect(subscription, "event", name="door.end")


@behaviour("500 events in order")
def order(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    subscription = subscribed(agent, "count")
    for place in range(EVENTS):
        publisher.publish("count", str(place).encode())
    for place in range(EVENTS):
        agent.expect(subscription, "event", payload=str(place).encode(), dropped=0)


@behaviour("several subscribers of a client, with the same pattern and with others: each event once each")
def several(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    subscriptions = [subscribed(agent, name) for name in ("door.*", "door.*", "door.opened", "*")]
    publisher.publish("door.opened", b"1")
    publisher.publish("door.closed", b"2")
    for subscription in subscriptions:
        agent.expect(subscription, "event", name="door.opened", payload=b"1")
    for subscription in (subscriptions[0], subscriptions[1], subscriptions[3]):
        agent.expect(subscription, "event", name="door.closed", payload=b"2")
    publisher.publish("end")
    agent.expect(subscriptions[3], "event", name="end")
    for subscription in subscriptions:
        expect_no_report(agent, subscription)


@behaviour("unsubscribe: nothing more for that one, the others go on")
def unsubscribe(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    first, second = subscribed(agent, "door.*"), subscribed(agent, "door.*")
    publisher.publish("door.opened", b"both")
    agent.expect(first, "event", payload=b"both")
    agent.expect(second, "event", payload=b"both")
    agent.do("unsubscribe", first)
    publisher.publish("door.opened", b"second alone")
    agent.expect(second, "event", payload=b"second alone")
    expect_no_report(agent, first)
    agent.do("unsubscribe", second)
    synchronize(agent)
    expect_equal("the number of subscribers", publisher.publish("door.opened"), 0)
    again = subscribed(agent, "door.*")
    expect_equal("the number of subscribers", publisher.publish("door.opened", b"again"), 1)
    agent.expect(again, "event", payload=b"again")


@behaviour("publish: how many subscribers there were; also without an answer")
def publish(scene: Scene) -> None:
    agent, subscriber = scene.agent(), scene.peer()
    expect_equal("subscribers", agent.do("publish", name="news", payload=b"x").text("subscribers"), "0")
    subscriber.subscribe("news")
    report = agent.do("publish", name="news", payload=b"{}", encoding=1, metadata={"from": "agent"})
    expect_equal("subscribers", report.text("subscribers"), "1")
    event = subscriber.expect(Kind.EVENT, name="news", payload=b"{}", encoding=1)
    expect_equal("the event's metadata", dict(event.metadata), {"from": "agent"})
    agent.do("publish", name="news", payload=b"quietly", no_reply=True)
    subscriber.expect(Kind.EVENT, name="news", payload=b"quietly")


@behaviour("the daemon's own events can be subscribed to, and not be published")
def built_in(scene: Scene) -> None:
    agent = scene.agent()
    subscription = subscribed(agent, "hostcall.function.*")
    scene.peer().register("new-one")
    report = agent.expect(subscription, "event", name="hostcall.function.registered", encoding=1)
    expect(b"new-one" in report.payload, f"expected the function's name in {report.payload!r}")
    report = agent.expect(agent.tell("publish", name="hostcall.mine"), "error")
    expect(
        report.text("code") == "invalid-argument" or report.text("status") == "INVALID_ARGUMENT",
        f"expected INVALID_ARGUMENT for hostcall.mine, came “{report}”",
    )


@behaviour("a consumer that does not read loses the oldest, is told how many, and gets the newest in order")
def dropped(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    held = subscribed(agent, "flood", held=True)
    witness = subscribed(agent, "end")
    for place in range(FLOOD):
        publisher.publish("flood", place.to_bytes(4, "little") + b"x" * FLOOD_BYTES)
    publisher.publish("end")
    agent.expect(witness, "event")
    agent.tell("take", held, count=FLOOD)
    next_place = lost = taken = 0
    while next_place < FLOOD:
        report = agent.expect(held, "event", name="flood")
        lost += report.dropped
        place = int.from_bytes(report.payload[:4], "little")
        if place != next_place + report.dropped:
            raise Failure(f"event {place} says that {report.number('dropped')} were dropped after {next_place - 1}")
        next_place, taken = place + 1, taken + 1
    expect_equal("events that were taken or told as dropped", taken + lost, FLOOD)
    expect(lost > 0, f"expected that a consumer which holds {FLOOD} events of 4 KiB loses some, it has kept all")
    publisher.publish("flood", (FLOOD).to_bytes(4, "little"))
    agent.expect(held, "event", payload=FLOOD.to_bytes(4, "little"), dropped=0)


@behaviour("a held consumer holds up neither others nor calls")
def held_consumer(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    held = subscribed(agent, "news", held=True)
    other = subscribed(agent, "news")
    for place in range(EVENTS):
        publisher.publish("news", str(place).encode())
    for place in range(EVENTS):
        agent.expect(other, "event", payload=str(place).encode())
    agent.expect(agent.tell("call", name="hostcall.echo", payload=b"quick"), "result", payload=b"quick")
    expect_no_report(agent, held)
    agent.tell("take", held, count=2)
    agent.expect(held, "event", payload=b"0")
    agent.expect(held, "event", payload=b"1")
    synchronize(agent)
    expect_no_report(agent, held)


@behaviour("a malformed pattern is refused")
def invalid(scene: Scene) -> None:
    agent = scene.agent()
    agent.expect_error(agent.tell("subscribe", name="a.*.b"), code="invalid-argument")
    agent.expect_error(agent.tell("publish", name="a.*"), code="invalid-argument")
