"""Items of results and of arguments, and credit for them."""

from __future__ import annotations

from typing import List, Tuple

from agent import Agent
from behaviour import behaviour
from expectation import expect, expect_equal
from raw_peer import RawPeer
from scene import Scene, expect_no_report, synchronize
from wire import Flags, Frame, Kind, Status

WINDOW = 8
MANY = 10_000
MANY_WINDOW = 256


def begin_stream(agent: Agent, worker: RawPeer, window: int, **options: object) -> Tuple[str, Frame]:
    """A call of the agent's that takes items: its tag, and its INVOKE."""
    call = agent.tell("call", name="work", window=window, **options)
    return call, worker.expect(Kind.INVOKE, aux=window)


def send_items(peer: RawPeer, id: int, payloads: List[bytes], first: int = 0) -> None:
    for place, payload in enumerate(payloads, first):
        peer.send(Kind.ITEM, id=id, aux=place, payload=payload)


def take_credit(peer: RawPeer) -> int:
    """The credit that has come by now."""
    credit = 0
    for frame in peer.barrier():
        expect_equal("the frame's kind", Kind(frame.kind), Kind.CREDIT)
        credit += peer.receive().aux
    return credit


@behaviour("result items in order, then the result")
def items(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, WINDOW)
    agent.tell("take", call, count=WINDOW)
    send_items(worker, invoke.id, [b"one", b"", b"three"])
    worker.send(Kind.ITEM, id=invoke.id, aux=3, payload=b"{}", encoding=1)
    worker.complete(invoke.id, b"that is all", metadata={"count": "4"})
    for payload in (b"one", b"", b"three"):
        agent.expect(call, "item", payload=payload, encoding=0)
    agent.expect(call, "item", payload=b"{}", encoding=1)
    agent.expect(call, "result", payload=b"that is all", metadata={"count": "4"}, correlation=invoke.id)


@behaviour("no credit beyond the window for a reader that takes nothing; more as it takes")
def window(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, WINDOW)
    send_items(worker, invoke.id, [bytes((i,)) for i in range(WINDOW)])
    worker.barrier()
    synchronize(agent, worker)
    expect_equal("credit for a reader that takes nothing", take_credit(worker), 0)
    expect_no_report(agent, call)
    credit = 0
    for taken in range(1, WINDOW + 1):
        agent.tell("take", call, count=1)
        agent.expect(call, "item", payload=bytes((taken - 1,)))
        synchronize(agent, worker)
        credit += take_credit(worker)
        expect(credit <= taken, f"expected credit for at most {taken} items that were taken, came {credit}")
    agent.tell("take", call, count=WINDOW)
    while credit == 0:
        granted = worker.expect(Kind.CREDIT, id=invoke.id)
        credit += granted.aux
    expect(credit <= WINDOW, f"expected credit for at most {WINDOW} items that were taken, came {credit}")
    send_items(worker, invoke.id, [b"more"], first=WINDOW)
    agent.expect(call, "item", payload=b"more")
    worker.complete(invoke.id)
    agent.expect(call, "result")


@behaviour("10,000 result items in order, never more on their way than the window")
def many_results(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, MANY_WINDOW, timeout=60_000)
    agent.tell("take", call, count=MANY + 1)
    credit, sent = MANY_WINDOW, 0
    while sent < MANY:
        while credit and sent < MANY:
            worker.send(Kind.ITEM, id=invoke.id, aux=sent, payload=str(sent).encode())
            sent, credit = sent + 1, credit - 1
        if sent < MANY:
            credit += worker.expect(Kind.CREDIT, id=invoke.id).aux
        expect(credit <= MANY_WINDOW, f"expected credit for at most {MANY_WINDOW} items, came {credit}")
    worker.complete(invoke.id, b"all")
    for place in range(MANY):
        agent.expect(call, "item", payload=str(place).encode())
    agent.expect(call, "result", payload=b"all")


@behaviour("10,000 items that the agent sends, in order and within its credit")
def many_sent(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", aux=MANY_WINDOW, timeout=60_000)
    invocation = agent.expect(registration, "invoke").values["call"]
    for place in range(MANY):
        agent.tell("send", invocation, payload=str(place).encode())
    allowed = MANY_WINDOW
    for place in range(MANY):
        if place == allowed:
            synchronize(agent)
            caller.expect_nothing()
            caller.send(Kind.CREDIT, id=request, aux=MANY_WINDOW * 4)
            allowed += MANY_WINDOW * 4
        caller.expect(Kind.ITEM, id=request, aux=place, payload=str(place).encode())
    for _ in range(MANY):
        agent.expect(invocation, "sent")
    agent.tell("complete", invocation, payload=b"all")
    caller.expect_result(request, payload=b"all")


@behaviour("a worker's items wait for credit, and `sent` with them")
def results_wait(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", aux=2)
    invocation = agent.expect(registration, "invoke").values["call"]
    for payload in (b"a", b"b", b"c", b"d"):
        agent.tell("send", invocation, payload=payload)
    for place, payload in enumerate((b"a", b"b")):
        caller.expect(Kind.ITEM, id=request, aux=place, payload=payload)
        agent.expect(invocation, "sent")
    synchronize(agent)
    caller.expect_nothing()
    expect_no_report(agent, invocation)
    caller.send(Kind.CREDIT, id=request, aux=1)
    caller.expect(Kind.ITEM, id=request, aux=2, payload=b"c")
    agent.expect(invocation, "sent")
    synchronize(agent)
    caller.expect_nothing()
    caller.send(Kind.CREDIT, id=request, aux=5)
    caller.expect(Kind.ITEM, id=request, aux=3, payload=b"d")
    agent.expect(invocation, "sent")
    agent.tell("complete", invocation, payload=b"end")
    caller.expect_result(request, payload=b"end")


@behaviour("arguments wait for the worker's credit; the end needs none")
def arguments(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work", arguments=True, payload=b"head")
    invoke = worker.expect(Kind.INVOKE, flags=Flags.OPEN, payload=b"head", aux=0)
    for payload in (b"a", b"b", b"c"):
        agent.tell("send", call, payload=payload, encoding=1)
    synchronize(agent)
    worker.expect_nothing()
    expect_no_report(agent, call)
    worker.send(Kind.CREDIT, id=invoke.id, aux=2)
    for place, payload in enumerate((b"a", b"b")):
        worker.expect(Kind.ITEM, id=invoke.id, aux=place, payload=payload, encoding=1, flags=0)
        agent.expect(call, "sent")
    synchronize(agent)
    worker.expect_nothing()
    worker.send(Kind.CREDIT, id=invoke.id, aux=1)
    worker.expect(Kind.ITEM, id=invoke.id, aux=2, payload=b"c")
    agent.expect(call, "sent")
    agent.tell("end", call)
    worker.expect(Kind.ITEM, id=invoke.id, aux=3, payload=b"", flags=Flags.LAST)
    worker.complete(invoke.id, b"abc")
    agent.expect(call, "result", payload=b"abc")


@behaviour("no arguments at all: the end comes without credit")
def no_arguments(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work", arguments=True)
    invoke = worker.expect(Kind.INVOKE, flags=Flags.OPEN)
    agent.tell("end", call)
    worker.expect(Kind.ITEM, id=invoke.id, aux=0, payload=b"", flags=Flags.LAST)
    worker.complete(invoke.id)
    agent.expect(call, "result")


@behaviour("a worker takes arguments: credit as it takes, and the end")
def take_arguments(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", flags=Flags.OPEN)
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("take", invocation, count=3)
    credit = caller.expect(Kind.CREDIT, id=request).aux
    expect(credit > 0, "expected credit of more than nothing")
    place = 0
    for payload in (b"a", b"", b"c"):
        while credit == 0:
            credit += caller.expect(Kind.CREDIT, id=request).aux
        caller.send(Kind.ITEM, id=request, aux=place, payload=payload, encoding=128)
        agent.expect(invocation, "item", payload=payload, encoding=128)
        place, credit = place + 1, credit - 1
    agent.tell("take", invocation, count=2)
    while credit == 0:
        credit += caller.expect(Kind.CREDIT, id=request).aux
    caller.send(Kind.ITEM, id=request, aux=place, payload=b"last", flags=Flags.LAST)
    agent.expect(invocation, "item", payload=b"last")
    agent.expect(invocation, "items-end")
    agent.tell("complete", invocation, payload=b"taken")
    caller.expect_past_credit(Kind.RESULT, id=request, status=Status.OK, payload=b"taken")


@behaviour("a bare last argument is the end, and no item")
def bare_last(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", flags=Flags.OPEN)
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("take", invocation, count=1)
    caller.expect(Kind.CREDIT, id=request)
    caller.send(Kind.ITEM, id=request, aux=0, flags=Flags.LAST)
    agent.expect(invocation, "items-end")
    agent.tell("complete", invocation)
    caller.expect_result(request)


@behaviour("items both ways in one call")
def both_ways(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, WINDOW, arguments=True)
    expect_equal("INVOKE's flags", invoke.flags, Flags.OPEN)
    agent.tell("take", call, count=20)
    worker.send(Kind.CREDIT, id=invoke.id, aux=5)
    for place in range(5):
        agent.tell("send", call, payload=str(place).encode())
        argument = worker.expect_past_credit(Kind.ITEM, id=invoke.id, aux=place)
        agent.expect(call, "sent")
        worker.send(Kind.ITEM, id=invoke.id, aux=place, payload=b"echo " + argument.payload)
        agent.expect(call, "item", payload=f"echo {place}".encode())
    agent.tell("end", call)
    worker.expect_past_credit(Kind.ITEM, id=invoke.id, aux=5, flags=Flags.LAST)
    worker.complete(invoke.id, b"done")
    agent.expect(call, "result", payload=b"done")


@behaviour("a worker that ends early: the result, though arguments are left")
def early_end(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work", arguments=True)
    invoke = worker.expect(Kind.INVOKE)
    agent.tell("send", call, payload=b"never taken")
    worker.complete(invoke.id, b"enough")
    agent.expect(call, "result", payload=b"enough")
    after = agent.tell("call", name="work")
    worker.complete(worker.expect(Kind.INVOKE).id, b"next")
    agent.expect(after, "result", payload=b"next")


@behaviour("a stream that fails: its items, then the error")
def failed_stream(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, WINDOW)
    send_items(worker, invoke.id, [b"one", b"two"])
    worker.complete(invoke.id, b"no more", status=Status.FAILED)
    synchronize(agent, worker)
    agent.tell("take", call, count=3)
    agent.expect(call, "item", payload=b"one")
    agent.expect(call, "item", payload=b"two")
    agent.expect_error(call, "FAILED", payload=b"no more", correlation=invoke.id)


@behaviour("cancel in the middle of a stream: CANCEL to the worker, one outcome")
def cancel_stream(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, WINDOW)
    agent.tell("take", call, count=100)
    send_items(worker, invoke.id, [b"one", b"two"])
    agent.expect(call, "item", payload=b"one")
    agent.expect(call, "item", payload=b"two")
    agent.tell("cancel", call)
    worker.expect_past_credit(Kind.CANCEL, id=invoke.id, status=Status.CANCELLED)
    agent.expect_error(call, "CANCELLED")


@behaviour("a worker whose stream was cancelled: the handler is told, and sending fails")
def cancelled_worker(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", aux=1)
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("send", invocation, payload=b"one")
    caller.expect(Kind.ITEM, id=request, payload=b"one")
    agent.expect(invocation, "sent")
    agent.tell("send", invocation, payload=b"waits for credit")
    synchronize(agent)
    expect_no_report(agent, invocation)
    caller.send(Kind.CANCEL, id=request)
    caller.expect_result(request, Status.CANCELLED)
    # Told and failed, in either order.
    first = agent.next(invocation, "“cancelled” or “error”")
    second = agent.next(invocation, f"“cancelled” and “error”, of which “{first.word}” came,")
    expect_equal("what the handler is told", {first.word, second.word}, {"cancelled", "error"})
    agent.tell("send", invocation, payload=b"after that")
    agent.expect(invocation, "error")
    agent.tell("complete", invocation, status="CANCELLED")
    agent.expect(invocation, "completed")


@behaviour("items for a caller that takes none are refused to the handler")
def not_taken(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("send", invocation, payload=b"unwanted")
    agent.expect_error(invocation, code="invalid-argument")
    agent.tell("complete", invocation, payload=b"result alone")
    caller.expect_result(request, payload=b"result alone")


@behaviour("a slow reader of one stream holds up no other call or stream")
def slow_reader(scene: Scene) -> None:
    agent, worker = scene.calling()
    slow, held = begin_stream(agent, worker, WINDOW)
    send_items(worker, held.id, [b"x" * 10_000] * WINDOW)
    quick, invoke = begin_stream(agent, worker, WINDOW)
    agent.tell("take", quick, count=WINDOW)
    send_items(worker, invoke.id, [b"quick"])
    agent.expect(quick, "item", payload=b"quick")
    worker.complete(invoke.id)
    agent.expect(quick, "result")
    call = agent.tell("call", name="work")
    worker.complete(worker.expect_past_credit(Kind.INVOKE).id, b"not held up")
    agent.expect(call, "result", payload=b"not held up")
    agent.tell("take", slow, count=WINDOW + 1)
    for _ in range(WINDOW):
        agent.expect(slow, "item", payload=b"x" * 10_000)
    worker.complete(held.id)
    agent.expect(slow, "result")


@behaviour("a stream's worker is lost: the items that came, then WORKER_LOST")
def worker_lost(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, WINDOW)
    send_items(worker, invoke.id, [b"one"])
    worker.barrier()
    agent.tell("take", call, count=2)
    agent.expect(call, "item", payload=b"one")
    worker.close()
    agent.expect_error(call, "WORKER_LOST")


@behaviour("items of 1 MiB, unchanged both ways")
def large_items(scene: Scene) -> None:
    agent, worker = scene.calling()
    call, invoke = begin_stream(agent, worker, 2, arguments=True)
    payload = bytes(range(256)) * 4096
    worker.send(Kind.CREDIT, id=invoke.id, aux=1)
    agent.tell("send", call, payload=payload)
    argument = worker.expect(Kind.ITEM, id=invoke.id)
    expect(argument.payload == payload, "expected the argument unchanged")
    agent.expect(call, "sent")
    agent.tell("take", call, count=2)
    worker.send(Kind.ITEM, id=invoke.id, aux=0, payload=argument.payload)
    expect(agent.expect(call, "item").payload == payload, "expected the item unchanged")
    worker.complete(invoke.id)
    agent.expect(call, "result")
