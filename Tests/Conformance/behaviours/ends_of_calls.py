"""The ends that nobody asked for, and those that the caller asked for, with the agent as the caller."""

from __future__ import annotations

import time

from behaviour import behaviour
from expectation import Failure, expect
from scene import Scene, expect_no_report, synchronize
from wire import Kind, Status

TIMEOUT_MILLISECONDS = 150
# Generous: machines have other things to do.
MOST_MILLISECONDS = 5_000
RACES = 50


@behaviour("deadline: TIMEOUT to the caller in time, CANCEL TIMEOUT to the worker")
def deadline(scene: Scene) -> None:
    agent, worker = scene.calling()
    start = time.monotonic()
    call = agent.tell("call", name="work", timeout=TIMEOUT_MILLISECONDS)
    invoke = worker.expect(Kind.INVOKE)
    expect(0 < invoke.timeout <= TIMEOUT_MILLISECONDS, f"expected at most 150 ms in INVOKE, came {invoke.timeout}")
    agent.expect_error(call, "TIMEOUT", origin="daemon", correlation=invoke.id)
    milliseconds = (time.monotonic() - start) * 1000
    # The worker's clock begins later than the caller's, and whole milliseconds are rounded.
    expect(milliseconds >= TIMEOUT_MILLISECONDS - 5, f"expected TIMEOUT after 150 ms, it came after {milliseconds:.0f}")
    expect(milliseconds < MOST_MILLISECONDS, f"expected TIMEOUT soon after 150 ms, it came after {milliseconds:.0f}")
    worker.expect(Kind.CANCEL, id=invoke.id, status=Status.TIMEOUT)


@behaviour("cancel: CANCELLED to the caller, CANCEL to the worker")
def cancel(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    agent.tell("cancel", call)
    worker.expect(Kind.CANCEL, id=invoke.id, status=Status.CANCELLED)
    agent.expect_error(call, "CANCELLED")
    worker.complete(invoke.id, status=Status.CANCELLED)
    worker.expect_nothing()


@behaviour("cancel of a call that is queued: the worker never sees it")
def cancel_queued(scene: Scene) -> None:
    agent, worker = scene.calling(aux=1)
    running = agent.tell("call", name="work", payload=b"runs")
    invoke = worker.expect(Kind.INVOKE)
    queued = agent.tell("call", name="work", payload=b"queued")
    synchronize(agent)
    agent.tell("cancel", queued)
    agent.expect_error(queued, "CANCELLED")
    # It may be told before the daemon has heard of it.
    synchronize(agent)
    worker.complete(invoke.id)
    agent.expect(running, "result")
    worker.expect_nothing()


@behaviour("cancel that races a result: one outcome, whichever it is")
def cancel_race(scene: Scene) -> None:
    agent, worker = scene.calling()
    for _ in range(RACES):
        call = agent.tell("call", name="work")
        invoke = worker.expect(Kind.INVOKE)
        agent.tell("cancel", call)
        worker.complete(invoke.id, b"quick")
        outcome = agent.next(call, "an outcome")
        if outcome.word != "result" and outcome.text("status") != "CANCELLED":
            raise Failure(f"expected a result or CANCELLED, came “{outcome}”")
        for frame in worker.barrier():
            expect(frame.kind in (Kind.CANCEL, Kind.REJECTED), f"expected CANCEL or REJECTED, came kind {frame.kind}")
            worker.receive()
        expect_no_report(agent, call)


@behaviour("a worker that is lost: WORKER_LOST")
def worker_lost(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    worker.close()
    agent.expect_error(call, "WORKER_LOST", origin="daemon", correlation=invoke.id)
    agent.expect_error(agent.tell("call", name="work"), "NOT_FOUND")


@behaviour("a caller that is lost: its worker is told")
def caller_lost(scene: Scene) -> None:
    agent, worker = scene.calling()
    agent.tell("call", name="work")
    invoke = worker.expect(Kind.INVOKE)
    agent.kill()
    worker.expect(Kind.CANCEL, id=invoke.id, status=Status.CALLER_LOST)
