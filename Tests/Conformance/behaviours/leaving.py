"""The agent leaves, or the daemon does, in good order or at once."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from agent import Agent
from behaviour import behaviour
from expectation import expect, expect_equal
from raw_peer import RawPeer
from scene import Scene, synchronize
from wire import Flags, Frame, Kind, Status

CALLS_AT_ONCE = 100


@behaviour("shutdown finishes what runs, and takes nothing new")
def shutdown(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    running = {str(i).encode(): caller.call("work", str(i).encode()) for i in range(3)}
    reports = [agent.expect(registration, "invoke") for _ in running]
    caller.subscribe("hostcall.function.unregistered")
    ending = agent.tell("shutdown")
    caller.expect(Kind.EVENT, name="hostcall.function.unregistered")
    caller.expect_result(caller.call("work"), Status.NOT_FOUND)
    expect_equal("whether it has ended already", [str(report) for report in agent.pending(ending)], [])
    agent.expect_error(agent.tell("call", name="hostcall.echo"), code="closed")
    for report in reports:
        agent.tell("complete", report.values["call"], payload=b"finished")
        caller.expect_result(running[report.payload], payload=b"finished")
    agent.expect(ending, "done")
    agent.expect_error(agent.tell("call", name="hostcall.echo"), code="closed")


@behaviour("shutdown: a handler that runs may still call")
def shutdown_inside(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    ending = agent.tell("shutdown")
    inner = agent.tell("call", name="hostcall.echo", inside=invocation, payload=b"one more thing")
    agent.expect(inner, "result", payload=b"one more thing")
    agent.tell("complete", invocation, payload=b"finished")
    caller.expect_result(request, payload=b"finished")
    agent.expect(ending, "done")


class Busy(NamedTuple):
    """A call that an agent answers, and one that it makes."""

    registration: str
    served: int
    invocation: str
    made: str
    invoke: Frame


def busy(scene: Scene) -> Tuple[Agent, RawPeer, RawPeer, Busy]:
    """An agent in the middle of both, with the worker and the caller at the other ends."""
    worker = scene.peer()
    worker.register("other")
    agent, registration, caller = scene.serving()
    served = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    made = agent.tell("call", name="other")
    return agent, worker, caller, Busy(registration, served, invocation, made, worker.expect(Kind.INVOKE))


@behaviour("close does not wait: calls end with `closed`, what it served is WORKER_LOST")
def close(scene: Scene) -> None:
    agent, worker, caller, both = busy(scene)
    _, served, invocation, made, invoke = both
    agent.do("close")
    agent.expect_error(made, code="closed")
    agent.expect(invocation, "cancelled")
    worker.expect(Kind.CANCEL, id=invoke.id, status=Status.CALLER_LOST)
    caller.expect_result(served, Status.WORKER_LOST)
    agent.expect_error(agent.tell("call", name="other"), code="closed")


@behaviour("what is handed over without waiting for an answer still leaves when the client is closed")
def close_sends(scene: Scene) -> None:
    worker = scene.peer()
    worker.register("work")
    agent = scene.agent()
    agent.do("call", name="work", payload=b"last words", no_reply=True)
    agent.do("close")
    worker.expect(Kind.INVOKE, payload=b"last words")


@behaviour("the daemon stops in good order: new calls SHUTTING_DOWN, what runs is finished, and then it comes back")
def daemon_stops(scene: Scene) -> None:
    agent, worker, caller, both = busy(scene)
    registration, served, invocation, made, invoke = both
    scene.daemon().begin_stop()
    worker.expect(Kind.GOAWAY)
    caller.expect(Kind.GOAWAY)
    report = agent.expect_error(agent.tell("call", name="other"), "SHUTTING_DOWN")
    expect(bool(report.message), "expected a message")
    worker.complete(invoke.id, b"in time")
    agent.expect(made, "result", payload=b"in time")
    agent.tell("complete", invocation, payload=b"in time too")
    caller.expect_result(served, payload=b"in time too")
    worker.close()
    caller.close()
    scene.daemon().finish_stop()
    scene.daemon().start()
    caller = scene.peer()
    request = caller.call("work", b"anew", flags=Flags.WAIT)
    agent.tell("complete", agent.expect(registration, "invoke", payload=b"anew").values["call"], payload=b"back")
    caller.expect_result(request, payload=b"back")


@behaviour("nothing is left of a thousand calls: no thread, no open file")
def nothing_left(scene: Scene) -> None:
    agent, registration, caller = scene.serving(concurrency=CALLS_AT_ONCE)

    def serve_hundred() -> None:
        requests = [caller.call("work") for _ in range(CALLS_AT_ONCE)]
        for _ in requests:
            agent.tell("complete", agent.expect(registration, "invoke").values["call"])
        for _ in requests:
            caller.expect(Kind.RESULT, status=Status.OK)
        synchronize(agent)

    # What a library keeps ready for calls is there by then, if not yet for as many at once as there may be.
    serve_hundred()
    serve_hundred()
    before = agent.resources()
    for _ in range(10):
        serve_hundred()
    after = agent.resources()
    expect(after.files <= before.files, f"expected {before.files} open files as before, there are {after.files}")
    most = before.threads + CALLS_AT_ONCE
    expect(after.threads <= most, f"expected {most} threads at most, there are {after.threads}")
    agent.do("shutdown")
