"""The agent calls, beside the real daemon, and a raw peer answers."""

from __future__ import annotations

import random

from behaviour import behaviour
from expectation import Failure, expect, expect_equal
from scene import Scene, synchronize
from wire import Flags, Kind, Status

CALLS_IN_FLIGHT = 100
ENCODINGS = (0, 1, 2, 128, 255)


@behaviour("a hundred calls in flight, answered out of order: each gets its own")
def out_of_order(scene: Scene) -> None:
    seed = random.randrange(1 << 32)
    agent, worker = scene.calling(aux=CALLS_IN_FLIGHT)
    calls = {agent.tell("call", name="work", payload=f"question {i}".encode()): i for i in range(CALLS_IN_FLIGHT)}
    invokes = [worker.expect(Kind.INVOKE) for _ in calls]
    random.Random(seed).shuffle(invokes)
    try:
        for invoke in invokes:
            worker.complete(invoke.id, b"answer to " + invoke.payload)
        for call, i in calls.items():
            agent.expect(call, "result", payload=f"answer to question {i}".encode())
    except Failure as failure:
        raise Failure(f"{failure} (seed {seed})") from None


@behaviour("payload, encoding and metadata reach the worker and come back")
def whole(scene: Scene) -> None:
    agent, worker = scene.calling()
    for encoding in ENCODINGS:
        asked = {"language": "en", "text": "größer than ✓", "empty": ""}
        answered = {"answer-key": "wert", "x": "y" * 1000}
        call = agent.tell(
            "call", name="work", payload=bytes(range(256)), encoding=encoding or None, metadata=asked
        )
        invoke = worker.expect(Kind.INVOKE, payload=bytes(range(256)), encoding=encoding)
        expect_equal("INVOKE's metadata", dict(invoke.metadata), asked)
        worker.complete(invoke.id, bytes(reversed(range(256))), encoding=encoding, metadata=answered)
        agent.expect(
            call, "result", payload=bytes(reversed(range(256))), encoding=encoding, metadata=answered,
            correlation=invoke.id,
        )


@behaviour("empty payloads and a name of 255 bytes")
def empty(scene: Scene) -> None:
    name = ".".join(["segment-of_15-b"] * 15 + ["x" * 15])
    expect_equal("the name's length", len(name), 255)
    agent, worker = scene.calling(name)
    call = agent.tell("call", name=name)
    invoke = worker.expect(Kind.INVOKE, payload=b"")
    worker.complete(invoke.id)
    agent.expect(call, "result", payload=b"", encoding=0, metadata={})


@behaviour("the daemon's own functions answer")
def built_in(scene: Scene) -> None:
    agent = scene.agent()
    call = agent.tell("call", name="hostcall.echo", payload=b"echo me", encoding=2)
    agent.expect(call, "result", payload=b"echo me", encoding=2)


@behaviour("FAILED from the worker: payload, encoding and metadata whole")
def failed(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    worker.complete(
        invoke.id, b'{"no":"such session"}', status=Status.FAILED, encoding=1, metadata={"detail": "more"}
    )
    agent.expect_error(
        call, "FAILED", origin="worker", payload=b'{"no":"such session"}', encoding=1, metadata={"detail": "more"},
        correlation=invoke.id,
    )


@behaviour("an application's status, 200")
def application_status(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    worker.complete(invoke.id, b"gone fishing", status=200)
    agent.expect_error(call, "200", origin="worker", payload=b"gone fishing", correlation=invoke.id)


@behaviour("the text of an error names function, status, whose it is, reason and call")
def message(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    worker.complete(invoke.id, b"no such session", status=Status.FAILED)
    text = agent.expect_error(call, "FAILED").message
    for part in ("work", "FAILED", "worker", "no such session", str(invoke.id)):
        expect(part in text, f"expected “{part}” in “{text}”")


@behaviour("NOT_FOUND at once where nobody has the name")
def not_found(scene: Scene) -> None:
    agent = scene.agent()
    report = agent.expect_error(agent.tell("call", name="nobody.has-this"), "NOT_FOUND", origin="daemon")
    expect("nobody.has-this" in report.message, f"expected the name in “{report.message}”")


@behaviour("WAIT: a call waits for a worker to come")
def wait(scene: Scene) -> None:
    agent = scene.agent()
    call = agent.tell("call", name="work", payload=b"patience", wait=True)
    synchronize(agent)
    worker = scene.peer()
    # The INVOKE may come before the RESULT of registering is read.
    worker.request(Kind.REGISTER, name="work")
    worker.expect(Kind.RESULT, status=Status.OK)
    worker.complete(worker.expect(Kind.INVOKE, payload=b"patience").id, b"rewarded")
    agent.expect(call, "result", payload=b"rewarded")


@behaviour("OVERLOADED where the queue is full; those in it are answered")
def overloaded(scene: Scene) -> None:
    scene.daemon("[limits]\nqueued-calls-per-function = 2\n")
    agent, worker = scene.calling(aux=1)
    first = agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    queued = []
    for _ in range(2):
        queued.append(agent.tell("call", name="work"))
        synchronize(agent)
    agent.expect_error(agent.tell("call", name="work"), "OVERLOADED", origin="daemon")
    worker.complete(invoke.id)
    agent.expect(first, "result")
    for call in queued:
        worker.complete(worker.expect(Kind.INVOKE).id)
        agent.expect(call, "result")


@behaviour("NO_REPLY: the worker gets the call, the caller nothing")
def no_reply(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work", payload=b"just do it", no_reply=True)
    agent.expect(call, "done")
    invoke = worker.expect(Kind.INVOKE, payload=b"just do it")
    worker.complete(invoke.id, b"unheard")
    synchronize(agent, worker)
    after = agent.tell("call", name="hostcall.echo", payload=b"after")
    agent.expect(after, "result", payload=b"after")
    expect_equal("reports about the call", [str(report) for report in agent.pending(call)], [])


@behaviour("IDEMPOTENT: sent again to another worker when the first is lost")
def idempotent(scene: Scene) -> None:
    agent, first = scene.calling()
    call = agent.tell("call", name="work", payload=b"may run twice", idempotent=True)
    one = first.expect(Kind.INVOKE, flags=Flags.IDEMPOTENT)
    second = scene.peer()
    second.register("work")
    first.close()
    other = second.expect(Kind.INVOKE, flags=Flags.IDEMPOTENT, payload=b"may run twice")
    expect_equal("the correlation id of the second attempt", other.id, one.id)
    second.complete(other.id, b"from the second")
    agent.expect(call, "result", payload=b"from the second")


@behaviour("what cannot be sent is refused before it is: names, encodings, reserved metadata")
def invalid(scene: Scene) -> None:
    agent = scene.agent()
    for wrong in (
        {"name": "a..b"}, {"name": "a.*"}, {"name": "x" * 256}, {"name": "a", "encoding": 3},
        {"name": "a", "metadata": {"hostcall-caller-uid": "0"}},
    ):
        agent.expect_error(agent.tell("call", **wrong), code="invalid-argument")
    agent.expect(agent.tell("call", name="hostcall.echo"), "result")
