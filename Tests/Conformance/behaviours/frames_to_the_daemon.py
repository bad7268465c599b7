"""Every vector that a client library would send: the agent is told to, and its bytes are compared, ids rewritten.

Left out are: BIND and CALL by handle, for a library may call by name alone (the CALLs by handle are compared as calls
by name, with the rest as it is, and BIND's name of 255 bytes as that of a call); the client's name and the versions in
HELLO, which are the library's own; the id and the payload of PING, which are its own too; and the number in CREDIT, for
how much is granted at once is up to the library.
"""

from __future__ import annotations

from typing import Any, Dict

from behaviour import behaviour
from expectation import expect
from fake_daemon import Link
from scene import Scene
from vectors import Vector, expect_vector, timeout_like, vector
from wire import HELLO_ID, REQUEST_MARK, Flags, Frame, Kind, Status

from .frames_from_the_daemon import register


def expect_vector_of_request(link: Link, vector: Vector, **rewritten: Any) -> Frame:
    """A request with an id of the library's own, with the bit that tells it from correlation ids."""
    request = link.receive(vector.what)
    expect(bool(request.id & REQUEST_MARK), f"expected the highest bit in the request id {request.id}")
    link.put_back(request)
    if vector.frame.timeout and timeout_like(request.timeout, vector.frame.timeout):
        rewritten["timeout"] = request.timeout
    return expect_vector(link, vector, id=request.id, **rewritten)


def check_call(scene: Scene, what: str, by_name: Dict[str, Any], **options: object) -> None:
    """Has the agent make the vector's call and compares; then answers it."""
    agent, link = scene.linked()
    frame = vector(what).frame
    name = by_name.get("name", frame.name)
    call = agent.tell(
        "call", name=name, payload=frame.payload, encoding=frame.encoding or None, timeout=frame.timeout or None,
        metadata=dict(frame.metadata), **options,
    )
    sent = expect_vector_of_request(link, vector(what), **by_name)
    link.send(Kind.RESULT, id=sent.id, payload=b"done")
    agent.expect(call, "result", payload=b"done")


BY_NAME: Dict[str, Any] = {"name": "token.fetch", "function": 0}


@behaviour("HELLO comes first and speaks version 1")
def hello(scene: Scene) -> None:
    scene.fake_daemon()
    agent = scene.agent_process()
    connecting = agent.tell("connect")
    link = scene.accept()
    frame = link.greet()
    agent.expect(connecting, "done")
    expect(frame.id == HELLO_ID, "expected the bytes HOSTCALL as the id of HELLO")
    expect(frame.function <= 1 <= frame.aux, f"expected version 1 among {frame.function} to {frame.aux}")
    expect("client" in frame.metadata, f"expected the client's name in HELLO's metadata {dict(frame.metadata)}")


@behaviour("REGISTER with concurrency, timeout and all options")
def register_options(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = agent.tell(
        "register", name="token.fetch", concurrency=8, mode="exclusive", timeout=5000, idempotent=True, caller=True
    )
    sent = expect_vector_of_request(link, vector("REGISTER with concurrency 8 and options"))
    link.send(Kind.RESULT, id=sent.id, aux=1)
    agent.expect(registration, "done")


@behaviour("REGISTER of a pattern, and of everything")
def register_patterns(scene: Scene) -> None:
    agent, link = scene.linked()
    for handle, (name, what) in enumerate([("token.*", "REGISTER of a pattern"), ("*", "REGISTER of everything")], 1):
        registration = agent.tell("register", name=name)
        sent = expect_vector_of_request(link, vector(what))
        link.send(Kind.RESULT, id=sent.id, aux=handle)
        agent.expect(registration, "done")


@behaviour("UNREGISTER with the handle that the daemon gave")
def unregister(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = register(agent, link, "token.fetch", 41)
    agent.tell("unregister", registration)
    request = link.expect(Kind.UNREGISTER, function=41)
    link.send(Kind.RESULT, id=request.id)
    agent.expect(registration, "done")


@behaviour("CALL with name, JSON and timeout")
def call_by_name(scene: Scene) -> None:
    check_call(scene, "CALL by name, JSON", {})


@behaviour("CALL with metadata, IDEMPOTENT, WAIT and bytes that are no text")
def call_with_metadata(scene: Scene) -> None:
    check_call(
        scene, "CALL by handle with metadata, IDEMPOTENT and WAIT", BY_NAME, idempotent=True, wait=True
    )


@behaviour("CALL with an empty payload and the longest timeout")
def call_with_empty_payload(scene: Scene) -> None:
    check_call(scene, "CALL with an empty payload", BY_NAME)


@behaviour("CALL with metadata of 65,000 bytes")
def call_with_large_metadata(scene: Scene) -> None:
    check_call(scene, "metadata value of 65,000 bytes", BY_NAME)


@behaviour("CALL with a name of 255 bytes")
def call_with_longest_name(scene: Scene) -> None:
    agent, link = scene.linked()
    name = vector("longest name").frame.name
    call = agent.tell("call", name=name)
    bound = vector("longest name")
    as_call = bound._replace(frame=bound.frame._replace(kind=Kind.CALL))
    sent = expect_vector_of_request(link, as_call)
    link.send(Kind.RESULT, id=sent.id)
    agent.expect(call, "result")


@behaviour("CALL with NO_REPLY")
def call_without_reply(scene: Scene) -> None:
    agent, link = scene.linked()
    agent.do("call", name="token.fetch", payload=b"x", no_reply=True)
    link.expect(Kind.CALL, name="token.fetch", flags=Flags.NO_REPLY, payload=b"x", aux=0)
    link.expect_nothing()


@behaviour("CALL with OPEN and item credit; ITEMs, the last with LAST")
def call_with_items(scene: Scene) -> None:
    agent, link = scene.linked()
    call = agent.tell("call", name="token.fetch", arguments=True, window=16)
    sent = expect_vector_of_request(link, vector("CALL with OPEN and item credit 16"), **BY_NAME)
    link.send(Kind.CREDIT, id=sent.id, aux=1)
    agent.tell("send", call, payload=b"first")
    link.expect(Kind.ITEM, id=sent.id, aux=0, flags=0, payload=b"first")
    agent.expect(call, "sent")
    agent.tell("end", call)
    expect_vector(link, vector("ITEM, the last argument"), id=sent.id)


@behaviour("CANCEL by the caller")
def cancel(scene: Scene) -> None:
    agent, link = scene.linked()
    call = agent.tell("call", name="token.fetch")
    request = link.expect(Kind.CALL).id
    agent.tell("cancel", call)
    expect_vector(link, vector("CANCEL by the caller"), id=request)
    link.send(Kind.RESULT, id=request, status=Status.CANCELLED)
    agent.expect_error(call, "CANCELLED")


def check_completion(scene: Scene, what: str, status: str) -> None:
    agent, link = scene.linked()
    registration = register(agent, link, "token.fetch", 1)
    frame = vector(what).frame
    link.send(Kind.INVOKE, id=frame.id, function=1, timeout=60_000)
    invocation = agent.expect(registration, "invoke", correlation=frame.id).values["call"]
    agent.tell("complete", invocation, status=status, payload=frame.payload, encoding=frame.encoding or None)
    expect_vector(link, vector(what))


@behaviour("COMPLETE OK with JSON")
def complete_ok(scene: Scene) -> None:
    check_completion(scene, "COMPLETE OK", "OK")


@behaviour("COMPLETE FAILED with its error")
def complete_failed(scene: Scene) -> None:
    check_completion(scene, "COMPLETE FAILED", "FAILED")


@behaviour("COMPLETE with an application's status")
def complete_application(scene: Scene) -> None:
    check_completion(scene, "COMPLETE with an application status", "200")


@behaviour("ITEMs of a result, by their places")
def result_items(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = register(agent, link, "token.fetch", 1)
    frame = vector("ITEM 3").frame
    link.send(Kind.INVOKE, id=frame.id, function=1, timeout=60_000, aux=8)
    invocation = agent.expect(registration, "invoke").values["call"]
    for place in range(frame.aux):
        agent.tell("send", invocation, payload=bytes((place,)))
        link.expect(Kind.ITEM, id=frame.id, aux=place, payload=bytes((place,)))
    agent.tell("send", invocation, payload=frame.payload)
    expect_vector(link, vector("ITEM 3"))


@behaviour("CREDIT for arguments that are waited for")
def credit(scene: Scene) -> None:
    agent, link = scene.linked()
    registration = register(agent, link, "token.fetch", 1)
    frame = vector("CREDIT 32").frame
    link.send(Kind.INVOKE, id=frame.id, function=1, timeout=60_000, flags=Flags.OPEN)
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("take", invocation, count=1)
    granted = link.receive("CREDIT")
    expect(granted.aux > 0, "expected CREDIT of more than nothing")
    link.put_back(granted)
    expect_vector(link, vector("CREDIT 32"), aux=granted.aux)


@behaviour("SUBSCRIBE and UNSUBSCRIBE of a pattern")
def subscribe(scene: Scene) -> None:
    agent, link = scene.linked()
    subscription = agent.tell("subscribe", name="door.*")
    sent = expect_vector_of_request(link, vector("SUBSCRIBE to a pattern"))
    link.send(Kind.RESULT, id=sent.id)
    agent.expect(subscription, "done")
    agent.tell("unsubscribe", subscription)
    link.answer(Kind.UNSUBSCRIBE, name="door.*")
    agent.expect(subscription, "done")


@behaviour("PUBLISH, with an answer and without")
def publish(scene: Scene) -> None:
    agent, link = scene.linked()
    agent.do("publish", name="door.opened", payload=b"front", no_reply=True)
    expect_vector(link, vector("PUBLISH without an answer"))
    publication = agent.tell("publish", name="door.opened", payload=b"front")
    sent = expect_vector_of_request(link, vector("PUBLISH without an answer"))
    link.send(Kind.RESULT, id=sent.id, aux=3)
    agent.expect(publication, "done", subscribers="3")


@behaviour("GOAWAY at a shutdown, and then the end")
def goaway(scene: Scene) -> None:
    agent, link = scene.linked()
    shutdown = agent.tell("shutdown")
    link.expect(Kind.GOAWAY, id=0, status=Status.OK)
    link.rest()
    agent.expect(shutdown, "done")
