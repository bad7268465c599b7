"""The connection: not to be had, lost, and had again."""

from __future__ import annotations

from behaviour import behaviour
from expectation import expect, expect_equal
from scene import Scene, expect_no_report
from wire import Flags, Kind, Status

from .events import subscribed


@behaviour("no daemon: cannot connect, and the message says where it was looked for and what to do")
def no_daemon(scene: Scene) -> None:
    agent = scene.agent_process()
    report = agent.expect_error(agent.tell("connect"), code="cannot-connect")
    for part in (scene.path, "hostcalld", "HOSTCALL_SOCKET"):
        expect(part in report.message, f"expected “{part}” in “{report.message}”")


@behaviour("ping: answered by the daemon")
def ping(scene: Scene) -> None:
    scene.agent().do("ping")


@behaviour("the daemon dies: every call in flight ends once, with the connection's loss")
def daemon_dies(scene: Scene) -> None:
    agent, worker = scene.calling()
    plain = [agent.tell("call", name="work") for _ in range(20)]
    idempotent = agent.tell("call", name="work", idempotent=True)
    stream = agent.tell("call", name="work", window=4)
    agent.tell("take", stream, count=1)
    arguments = agent.tell("call", name="work", arguments=True)
    for _ in range(23):
        worker.expect(Kind.INVOKE)
    scene.daemon().kill()
    for call in (*plain, idempotent, stream, arguments):
        agent.expect_error(call, code="connection-lost")
    for call in (*plain, idempotent, stream, arguments):
        expect_no_report(agent, call)


@behaviour("the daemon dies: handlers that run are told, and complete into nothing")
def daemon_dies_serving(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    scene.daemon().kill()
    agent.expect(invocation, "cancelled")
    scene.daemon().start()
    other = scene.peer()
    request = other.call("work", b"anew", flags=Flags.WAIT)
    renewed = agent.expect(registration, "invoke", payload=b"anew").values["call"]
    agent.tell("complete", invocation, payload=b"of another time")
    agent.expect(invocation, "completed")
    agent.tell("complete", renewed, payload=b"of this time")
    other.expect_result(request, payload=b"of this time")


@behaviour("registrations come back after the daemon is started again, with their options")
def registrations_come_back(scene: Scene) -> None:
    agent, registration, _ = scene.serving("work", concurrency=1, caller=True)
    pattern = agent.tell("register", name="files.*")
    agent.expect(pattern, "done")
    gone = agent.tell("register", name="gone")
    agent.expect(gone, "done")
    agent.do("unregister", gone)
    scene.daemon().kill()
    scene.daemon().start()
    caller = scene.peer()
    requests = [caller.call("work", flags=Flags.WAIT) for _ in range(2)]
    report = agent.expect(registration, "invoke")
    expect("hostcall-caller-pid" in report.metadata, f"expected who called in {report.metadata}")
    request = caller.call("files.read", flags=Flags.WAIT)
    agent.tell("complete", agent.expect(pattern, "invoke", name="files.read").values["call"])
    caller.expect_result(request)
    expect_no_report(agent, registration)
    agent.tell("complete", report.values["call"], payload=b"first")
    caller.expect_result(requests[0], payload=b"first")
    agent.tell("complete", agent.expect(registration, "invoke").values["call"], payload=b"second")
    caller.expect_result(requests[1], payload=b"second")
    caller.expect_result(caller.call("gone"), Status.NOT_FOUND)


@behaviour("subscriptions come back after the daemon is started again, and the gap is told")
def subscriptions_come_back(scene: Scene) -> None:
    agent, publisher = scene.agent(), scene.peer()
    subscription = subscribed(agent, "door.*")
    held = subscribed(agent, "door.*", held=True)
    ended = subscribed(agent, "window.*")
    agent.do("unsubscribe", ended)
    publisher.publish("door.opened", b"before")
    agent.expect(subscription, "event", payload=b"before", gap=None)
    scene.daemon().kill()
    scene.daemon().start()
    publisher = scene.peer()
    scene.deadline.poll("the subscription to come back", lambda: publisher.publish("door.opened", b"after") == 1)
    agent.expect(subscription, "event", payload=b"after", gap="yes")
    agent.tell("take", held, count=2)
    agent.expect(held, "event", payload=b"before", gap=None)
    agent.expect(held, "event", payload=b"after", gap="yes")
    publisher.publish("door.opened", b"later")
    agent.expect(subscription, "event", payload=b"later", gap=None)
    expect_equal("subscribers of what was given up", publisher.publish("window.opened"), 0)


@behaviour("calls go again after the daemon is started again")
def calls_go_again(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    worker.expect(Kind.INVOKE)
    scene.daemon().kill()
    agent.expect_error(call, code="connection-lost")
    scene.daemon().start()
    worker = scene.peer()
    worker.register("work")
    call = agent.tell("call", name="work", payload=b"again")
    worker.complete(worker.expect(Kind.INVOKE, payload=b"again").id, b"answered")
    agent.expect(call, "result", payload=b"answered")


@behaviour("no daemon any more: a call fails at once, and says that it cannot be reached")
def daemon_gone(scene: Scene) -> None:
    agent, worker = scene.calling()
    call = agent.tell("call", name="work")
    worker.expect(Kind.INVOKE)
    scene.daemon().kill()
    agent.expect_error(call, code="connection-lost")
    report = agent.expect_error(agent.tell("call", name="work"), code="cannot-connect")
    expect(scene.path in report.message, f"expected the socket's path in “{report.message}”")


@behaviour("calls made while the connection is being made wait for it")
def calls_wait(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = agent.tell("register", name="work")
    link.answer(Kind.REGISTER, aux=1)
    agent.expect(registration, "done")
    link.close()
    again = scene.accept()
    again.expect(Kind.HELLO)
    call = agent.tell("call", name="other", payload=b"patience")
    again.send(Kind.WELCOME, id=8, function=1, aux=64, metadata={"features": "streams,events", "max-frame": "1048576"})
    frames = [again.receive("REGISTER and CALL") for _ in range(2)]
    expect_equal("what comes after WELCOME", {Kind(frame.kind) for frame in frames}, {Kind.REGISTER, Kind.CALL})
    for frame in frames:
        again.send(Kind.RESULT, id=frame.id, aux=1 if frame.kind == Kind.REGISTER else 0)
    agent.expect(call, "result")
