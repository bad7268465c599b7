"""Every vector that a daemon sends, in a conversation in which it can come: as it is, but for ids, and reported whole.

No vector of that direction is left out. EVENT has its place rewritten: nothing but the two dropped ones was before it.
"""

from __future__ import annotations

import time
from typing import Callable, Tuple

from agent import Agent
from behaviour import behaviour
from expectation import expect, expect_equal
from fake_daemon import Link
from scene import Scene, answer_ping, expect_no_report
from vectors import vector
from wire import Kind, Status, encode_frame

Send = Callable[[Link, bytes], None]

MOST_OVERDUE_SECONDS = 5.0


def send_whole(link: Link, data: bytes) -> None:
    link.send_bytes(data)


def send_bytewise(link: Link, data: bytes) -> None:
    link.send_in_single_bytes(data)


def register(agent: Agent, link: Link, name: str, handle: int) -> str:
    """Has the agent register a function under this handle; gives the tag."""
    registration = agent.tell("register", name=name)
    link.answer(Kind.REGISTER, aux=handle)
    agent.expect(registration, "done")
    return registration


def call_in_flight(agent: Agent, link: Link) -> Tuple[str, int]:
    """A call whose RESULT the link owes: its tag and its request id."""
    call = agent.tell("call", name="token.fetch")
    return call, link.expect(Kind.CALL, name="token.fetch").id


def welcome(scene: Scene, send: Send) -> None:
    scene.fake_daemon()
    agent = scene.agent_process()
    connecting = agent.tell("connect")
    link = scene.accept()
    link.expect(Kind.HELLO)
    send(link, vector("WELCOME").data)
    agent.expect(connecting, "done")
    call, request = call_in_flight(agent, link)
    link.send(Kind.RESULT, id=request)
    agent.expect(call, "result")


@behaviour("a daemon that stands still: a call ends by itself soon after its deadline, and what comes later is passed over")
def standstill(scene: Scene) -> None:
    agent, link = scene.linked()
    start = time.monotonic()
    call = agent.tell("call", name="token.fetch", timeout=100)
    request = link.expect(Kind.CALL).id
    agent.expect_error(call, "TIMEOUT", origin="client")
    seconds = time.monotonic() - start
    expect(seconds < MOST_OVERDUE_SECONDS, f"expected TIMEOUT soon after 0.1 s, it came after {seconds:.1f} s")
    link.expect(Kind.CANCEL, id=request)
    link.send(Kind.RESULT, id=request, payload=b"too late")
    following, request = call_in_flight(agent, link)
    link.send(Kind.RESULT, id=request, payload=b"in time")
    agent.expect(following, "result", payload=b"in time")


def result(scene: Scene, send: Send) -> None:
    agent, link = scene.linked()
    call, request = call_in_flight(agent, link)
    frame = vector("RESULT OK: call is the correlation id").frame
    send(link, encode_frame(frame._replace(id=request)))
    agent.expect(call, "result", payload=frame.payload, encoding=1, metadata={}, correlation=frame.call)


def invoke(scene: Scene, send: Send) -> None:
    agent, link = scene.linked()
    frame = vector("INVOKE").frame
    registration = register(agent, link, "token.fetch", frame.function)
    send(link, vector("INVOKE").data)
    report = agent.expect(
        registration, "invoke", name="token.fetch", payload=frame.payload, encoding=1,
        metadata={"hostcall-caller-uid": "1000"}, correlation=frame.id,
    )
    left = report.number("left")
    expect(0 < left <= frame.timeout, f"expected more than 0 and at most {frame.timeout} ms left, came {left}")


def event(scene: Scene, send: Send) -> None:
    agent, link = scene.linked()
    subscription = agent.tell("subscribe", name="door.*")
    link.answer(Kind.SUBSCRIBE)
    agent.expect(subscription, "done")
    frame = vector("EVENT, two dropped before it").frame
    send(link, encode_frame(frame._replace(id=3)))
    agent.expect(subscription, "event", name="door.opened", payload=b"front", encoding=0, metadata={}, dropped=2)


@behaviour("WELCOME: connects, also to a daemon without features")
def welcome_whole(scene: Scene) -> None:
    welcome(scene, send_whole)


@behaviour("WELCOME without features: what needs one is UNAVAILABLE, and not sent")
def lacking_features(scene: Scene) -> None:
    scene.fake_daemon()
    agent = scene.agent_process()
    connecting = agent.tell("connect")
    link = scene.accept()
    link.expect(Kind.HELLO)
    link.send_bytes(vector("WELCOME").data)
    agent.expect(connecting, "done")
    for word, options in (
        ("call", {"window": 4}), ("call", {"arguments": True}), ("subscribe", {}), ("publish", {}),
    ):
        tag = agent.tell(word, name="door.opened", **options)
        if "window" in options:
            agent.tell("take", tag, count=1)
        agent.expect_error(tag, "UNAVAILABLE")
    link.expect_nothing()


@behaviour("RESULT OK: payload, encoding and correlation id")
def result_whole(scene: Scene) -> None:
    result(scene, send_whole)


@behaviour("INVOKE: name, payload, encoding, metadata, time left and correlation id")
def invoke_whole(scene: Scene) -> None:
    invoke(scene, send_whole)


@behaviour("EVENT: name, payload, and how many were dropped")
def event_whole(scene: Scene) -> None:
    event(scene, send_whole)


@behaviour("WELCOME byte by byte")
def welcome_bytewise(scene: Scene) -> None:
    welcome(scene, send_bytewise)


@behaviour("RESULT byte by byte")
def result_bytewise(scene: Scene) -> None:
    result(scene, send_bytewise)


@behaviour("INVOKE byte by byte")
def invoke_bytewise(scene: Scene) -> None:
    invoke(scene, send_bytewise)


@behaviour("EVENT byte by byte")
def event_bytewise(scene: Scene) -> None:
    event(scene, send_bytewise)


@behaviour("RESULT TIMEOUT: status, whose it is, the daemon's sentence, correlation id")
def result_timeout(scene: Scene) -> None:
    agent, link = scene.linked()
    call, request = call_in_flight(agent, link)
    frame = vector("RESULT TIMEOUT from the daemon").frame
    link.send_bytes(encode_frame(frame._replace(id=request)))
    report = agent.expect_error(call, "TIMEOUT", origin="daemon", payload=frame.payload, correlation=frame.call)
    for part in ("token.fetch", "TIMEOUT", "no outcome within 250 ms", str(frame.call)):
        expect(part in report.message, f"expected “{part}” in the message “{report.message}”")


@behaviour("RESULT of REGISTER: the handle in aux is the one of later INVOKEs")
def result_of_register(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = agent.tell("register", name="token.fetch")
    frame = vector("RESULT of a REGISTER: handle 1 in aux").frame
    link.send_bytes(encode_frame(frame._replace(id=link.expect(Kind.REGISTER).id)))
    agent.expect(registration, "done")
    link.send(Kind.INVOKE, id=5, function=frame.aux, timeout=1000)
    agent.expect(registration, "invoke", name="token.fetch", correlation=5)


@behaviour("INVOKE of a pattern: the called name")
def invoke_of_pattern(scene: Scene) -> None:
    agent, link = scene.linked()
    frame = vector("INVOKE of a pattern carries the called name").frame
    registration = register(agent, link, "token.*", frame.function)
    link.send_bytes(encode_frame(frame))
    report = agent.expect(registration, "invoke", name="token.fetch", payload=b"", correlation=frame.id)
    expect(report.number("left") <= frame.timeout, f"expected at most {frame.timeout} ms left, came {report}")


@behaviour("CANCEL to the worker: the handler is told, and its COMPLETE still comes")
def cancel(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = register(agent, link, "token.fetch", 1)
    # The call that the CANCEL is about, with time enough that nothing else ends it.
    link.send_bytes(encode_frame(vector("INVOKE").frame._replace(timeout=60_000)))
    invocation = agent.expect(registration, "invoke").values["call"]
    link.send_bytes(vector("CANCEL to the worker").data)
    agent.expect(invocation, "cancelled")
    agent.expect(agent.tell("complete", invocation, status="CANCELLED"), "completed")
    link.expect(Kind.COMPLETE, id=vector("INVOKE").frame.id, status=Status.CANCELLED)


@behaviour("REJECTED of an unknown call: nothing breaks")
def rejected(scene: Scene) -> None:
    agent, link = scene.linked()
    link.send_bytes(vector("REJECTED").data)
    answer_ping(agent, link)
    call, request = call_in_flight(agent, link)
    link.send(Kind.RESULT, id=request, payload=b"still there")
    agent.expect(call, "result", payload=b"still there")


@behaviour("GOAWAY PROTOCOL: the connection is lost, and the daemon's reason is told")
def goaway(scene: Scene) -> None:
    agent, link = scene.linked()
    call, _ = call_in_flight(agent, link)
    link.send_bytes(vector("GOAWAY").data)
    report = agent.expect_error(call, code="connection-lost")
    expect("unknown kind 99" in report.message, f"expected the daemon's reason in “{report.message}”")
    link.rest()
    expect_no_report(agent, call)


@behaviour("PING: answered at once by PONG with the same id and payload, also while a handler runs")
def ping(scene: Scene) -> None:
    agent, link = scene.linked()
    frame = vector("PING").frame
    link.send_bytes(encode_frame(frame))
    link.expect_pong(frame.id, frame.payload)
    registration = register(agent, link, "token.fetch", 1)
    link.send(Kind.INVOKE, id=5, function=1, timeout=60_000)
    invocation = agent.expect(registration, "invoke").values["call"]
    link.send_bytes(encode_frame(frame._replace(id=0, payload=b"x" * 64)))
    link.expect_pong(0, b"x" * 64)
    expect_equal("reports of the handler", [str(report) for report in agent.pending(invocation)], [])
    agent.tell("complete", invocation)
    link.expect(Kind.COMPLETE, id=5)


@behaviour("many frames in one read, and a frame across two")
def many_in_one(scene: Scene) -> None:
    agent, link = scene.linked()
    calls = [call_in_flight(agent, link) for _ in range(50)]
    results = [
        encode_frame(vector("RESULT OK: call is the correlation id").frame._replace(id=request, payload=call.encode()))
        for call, request in calls
    ]
    data = b"".join(results)
    middle = len(data) - len(results[-1]) // 2
    link.send_bytes(data[:middle])
    for call, _ in calls[:-1]:
        agent.expect(call, "result", payload=call.encode())
    link.send_bytes(data[middle:])
    agent.expect(calls[-1][0], "result", payload=calls[-1][0].encode())
