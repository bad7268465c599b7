"""Registrations: their modes, options and ends."""

from __future__ import annotations

import os

from behaviour import behaviour
from expectation import expect, expect_equal
from scene import Scene
from wire import Kind, Status


@behaviour("exclusive: ALREADY_REGISTERED where somebody has the name, and nobody can join")
def exclusive(scene: Scene) -> None:
    other = scene.peer()
    other.register("taken")
    agent = scene.agent()
    registration = agent.tell("register", name="taken", mode="exclusive")
    report = agent.expect_error(registration, "ALREADY_REGISTERED", origin="daemon")
    expect("taken" in report.message, f"expected the name in “{report.message}”")
    agent.do("register", name="mine", mode="exclusive")
    expect_equal("joining", other.answered(Kind.REGISTER, name="mine").status, Status.ALREADY_REGISTERED)


@behaviour("replace: new calls go to the new worker, the old one finishes what it has")
def replace(scene: Scene) -> None:
    old, caller = scene.peer(), scene.peer()
    old.register("work")
    before = caller.call("work", b"before")
    running = old.expect(Kind.INVOKE)
    agent = scene.agent()
    registration = agent.tell("register", name="work", mode="replace")
    agent.expect(registration, "done")
    after = caller.call("work", b"after")
    agent.tell("complete", agent.expect(registration, "invoke", payload=b"after").values["call"], payload=b"new")
    caller.expect_result(after, payload=b"new")
    old.complete(running.id, b"old")
    caller.expect_result(before, payload=b"old")


@behaviour("shared: calls are divided among the workers of a name")
def shared(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    other = scene.peer()
    other.register("work")
    requests = [caller.call("work") for _ in range(2)]
    invocation = agent.expect(registration, "invoke").values["call"]
    other.complete(other.expect(Kind.INVOKE).id, b"other")
    agent.tell("complete", invocation, payload=b"agent")
    payloads = sorted(caller.expect(Kind.RESULT, status=Status.OK).payload for _ in requests)
    expect_equal("the results", payloads, [b"agent", b"other"])


@behaviour("a pattern gets the names below it, an exact name wins")
def pattern(scene: Scene) -> None:
    agent, registration, caller = scene.serving("files.*")
    exact = agent.tell("register", name="files.read")
    agent.expect(exact, "done")
    for name, tag in (("files.write", registration), ("files.read", exact), ("files.a.b.c", registration)):
        request = caller.call(name)
        agent.tell("complete", agent.expect(tag, "invoke", name=name).values["call"], payload=name.encode())
        caller.expect_result(request, payload=name.encode())
    caller.expect_result(caller.call("file"), Status.NOT_FOUND)


@behaviour("unregister: NOT_FOUND for new calls, what runs is finished, and it can be registered again")
def unregister(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    running = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.do("unregister", registration)
    caller.expect_result(caller.call("work"), Status.NOT_FOUND)
    agent.tell("complete", invocation, payload=b"finished")
    caller.expect_result(running, payload=b"finished")
    again = agent.tell("register", name="work")
    agent.expect(again, "done")
    request = caller.call("work")
    agent.tell("complete", agent.expect(again, "invoke").values["call"])
    caller.expect_result(request)


@behaviour("a registration's longest run ends its calls")
def longest_run(scene: Scene) -> None:
    agent, registration, caller = scene.serving(timeout=120)
    request = caller.call("work", timeout=60_000)
    report = agent.expect(registration, "invoke")
    expect(report.number("left") <= 120, f"expected at most 120 ms left, came {report}")
    caller.expect_result(request, Status.TIMEOUT)
    agent.expect(report.values["call"], "cancelled")
    agent.tell("complete", report.values["call"], status="CANCELLED")


@behaviour("who called is told where that was asked for, and only there")
def caller_identity(scene: Scene) -> None:
    agent, registration, caller = scene.serving(caller=True)
    request = caller.call("work", metadata={"own": "key"})
    report = agent.expect(registration, "invoke")
    expect_equal("the caller's process", report.metadata.get("hostcall-caller-pid"), str(os.getpid()))
    expect_equal("the caller's user", report.metadata.get("hostcall-caller-uid"), str(os.geteuid()))
    expect_equal("the caller's own metadata", report.metadata.get("own"), "key")
    agent.tell("complete", report.values["call"])
    caller.expect_result(request)
    plain = agent.tell("register", name="plain")
    agent.expect(plain, "done")
    request = caller.call("plain")
    report = agent.expect(plain, "invoke", metadata={})
    agent.tell("complete", report.values["call"])
    caller.expect_result(request)


@behaviour("an idempotent registration's call is sent on when the agent is killed")
def idempotent(scene: Scene) -> None:
    agent, registration, caller = scene.serving(idempotent=True)
    request = caller.call("work", b"twice")
    agent.expect(registration, "invoke")
    other = scene.peer()
    other.register("work")
    agent.kill()
    other.complete(other.expect(Kind.INVOKE, payload=b"twice").id, b"second")
    caller.expect_result(request, payload=b"second")


@behaviour("a name that cannot be registered is refused")
def invalid(scene: Scene) -> None:
    agent = scene.agent()
    for name in ("a..b", "a.*.b", "*.a", "x" * 256):
        agent.expect_error(agent.tell("register", name=name), code="invalid-argument")
    report = agent.expect(agent.tell("register", name="hostcall.mine"), "error")
    expect(
        report.text("code") == "invalid-argument" or report.text("status") == "INVALID_ARGUMENT",
        f"expected INVALID_ARGUMENT for hostcall.mine, came “{report}”",
    )
