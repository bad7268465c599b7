"""The agent serves a function, beside the real daemon, and a raw peer calls it."""

from __future__ import annotations

from behaviour import behaviour
from expectation import expect, expect_equal
from scene import Scene, synchronize
from wire import Kind, Status

INVOCATIONS = 64
OUTER_MILLISECONDS = 5000
TRACE = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=value"}


@behaviour("a call as its handler gets it, and its completion whole")
def whole(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", bytes(range(256)), encoding=1, timeout=5000, metadata={"language": "de"})
    report = agent.expect(
        registration, "invoke", name="work", payload=bytes(range(256)), encoding=1, metadata={"language": "de"}
    )
    expect(4000 < report.number("left") <= 5000, f"expected nearly 5000 ms left, came {report}")
    invocation = report.values["call"]
    agent.tell("complete", invocation, status="OK", payload=b"\0\xff", encoding=255, metadata={"answer": "ja"})
    agent.expect(invocation, "completed")
    result = caller.expect_result(request, payload=b"\0\xff")
    expect_equal("the result's encoding", result.encoding, 255)
    expect_equal("the result's metadata", dict(result.metadata), {"answer": "ja"})
    expect_equal("the correlation id that the handler got", report.correlation, result.call)


@behaviour("empty payloads both ways")
def empty(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work")
    report = agent.expect(registration, "invoke", payload=b"", encoding=0, metadata={})
    agent.tell("complete", report.values["call"])
    result = caller.expect_result(request, payload=b"")
    expect_equal("the result's metadata", dict(result.metadata), {})


@behaviour("every status that a worker may use")
def statuses(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    for status in ("NULL_POINTER", "INVALID_UTF8", "SERIALIZATION", "PANIC", "FAILED", "UNKNOWN", "128", "200", "255"):
        request = caller.call("work")
        invocation = agent.expect(registration, "invoke").values["call"]
        agent.tell("complete", invocation, status=status, payload=b"why", encoding=2, metadata={"more": "detail"})
        value = int(status) if status.isdigit() else Status[status]
        result = caller.expect_result(request, value, b"why")
        expect_equal("the result's encoding", result.encoding, 2)
        expect_equal("the result's metadata", dict(result.metadata), {"more": "detail"})


@behaviour("a handler that goes wrong: the status of its language, with its text")
def raised(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("raise", invocation, message=b"the disk is full")
    result = caller.expect_result(request, Status[scene.language.raised_status])
    expect(b"the disk is full" in result.payload, f"expected the text in the result's payload, came {result.payload!r}")
    again = caller.call("work")
    agent.tell("complete", agent.expect(registration, "invoke").values["call"], payload=b"still serving")
    caller.expect_result(again, payload=b"still serving")


@behaviour("handlers run at the same time, and complete in any order")
def at_once(scene: Scene) -> None:
    agent, registration, caller = scene.serving(concurrency=INVOCATIONS)
    requests = {caller.call("work", str(i).encode()): i for i in range(INVOCATIONS)}
    reports = [agent.expect(registration, "invoke") for _ in requests]
    for report in reversed(reports):
        agent.tell("complete", report.values["call"], payload=b"done " + report.payload)
    for _ in requests:
        result = caller.expect(Kind.RESULT, status=Status.OK)
        expect_equal("the result's payload", result.payload, b"done " + str(requests[result.id]).encode())


@behaviour("concurrency: no more calls at once than was said")
def concurrency(scene: Scene) -> None:
    agent, registration, caller = scene.serving(concurrency=2)
    requests = [caller.call("work", str(i).encode()) for i in range(5)]
    first = [agent.expect(registration, "invoke") for _ in range(2)]
    expect_equal("the calls that run at first", {report.payload for report in first}, {b"0", b"1"})
    running = [report.values["call"] for report in first]
    for i in range(2, 5):
        caller.barrier()
        synchronize(agent)
        expect_equal("INVOKEs beyond the concurrency", [str(one) for one in agent.pending(registration)], [])
        agent.tell("complete", running.pop(0))
        running.append(agent.expect(registration, "invoke", payload=str(i).encode()).values["call"])
    for invocation in running:
        agent.tell("complete", invocation)
    for _ in requests:
        caller.expect(Kind.RESULT, status=Status.OK)


@behaviour("cancel: the handler is told, and its place is free once it has completed")
def cancel(scene: Scene) -> None:
    agent, registration, caller = scene.serving(concurrency=1)
    request = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    caller.send(Kind.CANCEL, id=request)
    caller.expect_result(request, Status.CANCELLED)
    agent.expect(invocation, "cancelled")
    following = caller.call("work", b"next")
    caller.barrier()
    synchronize(agent)
    expect_equal("INVOKEs before the place is free", [str(one) for one in agent.pending(registration)], [])
    agent.tell("complete", invocation, status="CANCELLED")
    agent.tell("complete", agent.expect(registration, "invoke", payload=b"next").values["call"])
    caller.expect_result(following)


@behaviour("deadline: the handler is told; its late completion breaks nothing")
def late(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work", timeout=100)
    invocation = agent.expect(registration, "invoke").values["call"]
    caller.expect_result(request, Status.TIMEOUT)
    agent.expect(invocation, "cancelled")
    agent.tell("complete", invocation, payload=b"too late")
    agent.expect(invocation, "completed")
    following = caller.call("work", b"next")
    agent.tell("complete", agent.expect(registration, "invoke", payload=b"next").values["call"], payload=b"in time")
    caller.expect_result(following, payload=b"in time")


@behaviour("the caller is lost: the handler is told")
def caller_lost(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    caller.close()
    agent.expect(invocation, "cancelled")
    agent.tell("complete", invocation)
    agent.expect(invocation, "completed")


@behaviour("a call made inside a handler has what is left of its time, and its trace")
def inherited(scene: Scene) -> None:
    inner_worker = scene.peer()
    inner_worker.register("inner")
    agent, registration, caller = scene.serving("outer")
    request = caller.call("outer", timeout=OUTER_MILLISECONDS, metadata=TRACE)
    invocation = agent.expect(registration, "invoke").values["call"]
    inner = agent.tell("call", name="inner", inside=invocation, payload=b"nested")
    invoke = inner_worker.expect(Kind.INVOKE, payload=b"nested")
    expect(
        0 < invoke.timeout <= OUTER_MILLISECONDS,
        f"expected at most the {OUTER_MILLISECONDS} ms of the outer call, came {invoke.timeout}",
    )
    expect_equal("the trace of the inner call", dict(invoke.metadata), TRACE)
    inner_worker.complete(invoke.id, b"inner result")
    agent.expect(inner, "result", payload=b"inner result")
    shorter = agent.tell("call", name="inner", inside=invocation, timeout=1000)
    invoke = inner_worker.expect(Kind.INVOKE)
    expect(0 < invoke.timeout <= 1000, f"expected at most the 1000 ms that it asked for, came {invoke.timeout}")
    inner_worker.complete(invoke.id)
    agent.expect(shorter, "result")
    longer = agent.tell("call", name="inner", inside=invocation, timeout=600_000)
    invoke = inner_worker.expect(Kind.INVOKE)
    expect(
        0 < invoke.timeout <= OUTER_MILLISECONDS,
        f"expected at most the {OUTER_MILLISECONDS} ms of the outer call, came {invoke.timeout}",
    )
    inner_worker.complete(invoke.id)
    agent.expect(longer, "result")
    agent.tell("complete", invocation, payload=b"outer result")
    caller.expect_result(request, payload=b"outer result")


@behaviour("a call made outside of a handler inherits nothing")
def not_inherited(scene: Scene) -> None:
    worker = scene.peer()
    worker.register("inner")
    agent, registration, caller = scene.serving("outer")
    request = caller.call("outer", timeout=OUTER_MILLISECONDS, metadata=TRACE)
    invocation = agent.expect(registration, "invoke").values["call"]
    call = agent.tell("call", name="inner", timeout=600_000)
    invoke = worker.expect(Kind.INVOKE)
    expect(invoke.timeout > OUTER_MILLISECONDS, f"expected nearly 600,000 ms, came {invoke.timeout}")
    expect_equal("the call's metadata", dict(invoke.metadata), {})
    worker.complete(invoke.id)
    agent.expect(call, "result")
    agent.tell("complete", invocation)
    caller.expect_result(request)


@behaviour("the agent is killed: its caller gets WORKER_LOST")
def killed(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work")
    agent.expect(registration, "invoke")
    agent.kill()
    caller.expect_result(request, Status.WORKER_LOST)


@behaviour("an agent may call its own function")
def own_function(scene: Scene) -> None:
    agent, registration, _ = scene.serving()
    call = agent.tell("call", name="work", payload=b"to myself")
    agent.tell("complete", agent.expect(registration, "invoke", payload=b"to myself").values["call"], payload=b"yes")
    agent.expect(call, "result", payload=b"yes")
