"""Payloads of up to the daemon's largest frame, and larger ones."""

from __future__ import annotations

import random

from behaviour import behaviour
from expectation import expect
from scene import Scene
from wire import Kind, Status

MEBIBYTE = 1 << 20
SIZES = {"1 MiB": MEBIBYTE, "15 MiB": 15 * MEBIBYTE}
TOO_LARGE = 17 * MEBIBYTE


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def expect_same(what: str, came: bytes, expected: bytes) -> None:
    expect(came == expected, f"expected {what} of {len(expected)} bytes unchanged, came {len(came)} other bytes")


def call_with(scene: Scene, size: int) -> None:
    agent, worker = scene.calling()
    question, answer = noise(size), noise(size + 1)
    call = agent.tell("call", name="work", payload=question)
    invoke = worker.expect(Kind.INVOKE)
    expect_same("a payload", invoke.payload, question)
    worker.complete(invoke.id, answer)
    expect_same("a result", agent.expect(call, "result").payload, answer)


def serve_with(scene: Scene, size: int) -> None:
    agent, registration, caller = scene.serving()
    question, answer = noise(size), noise(size + 1)
    request = caller.call("work", question)
    report = agent.expect(registration, "invoke")
    expect_same("a payload", report.payload, question)
    agent.tell("complete", report.values["call"], payload=answer)
    expect_same("a result", caller.expect_result(request).payload, answer)


@behaviour("a call and its result of 1 MiB")
def call_1(scene: Scene) -> None:
    call_with(scene, SIZES["1 MiB"])


@behaviour("a call and its result of 15 MiB")
def call_15(scene: Scene) -> None:
    call_with(scene, SIZES["15 MiB"])


@behaviour("a served call and its completion of 1 MiB")
def serve_1(scene: Scene) -> None:
    serve_with(scene, SIZES["1 MiB"])


@behaviour("a served call and its completion of 15 MiB")
def serve_15(scene: Scene) -> None:
    serve_with(scene, SIZES["15 MiB"])


@behaviour("a call larger than max-frame: TOO_LARGE, and the connection stays usable")
def call_too_large(scene: Scene) -> None:
    agent, worker = scene.calling()
    agent.expect_error(agent.tell("call", name="work", payload=b"x" * TOO_LARGE), "TOO_LARGE")
    call = agent.tell("call", name="work", payload=b"small")
    worker.complete(worker.expect(Kind.INVOKE, payload=b"small").id, b"fine")
    agent.expect(call, "result", payload=b"fine")


@behaviour("a result larger than max-frame: TOO_LARGE to the caller, and the connection stays usable")
def result_too_large(scene: Scene) -> None:
    agent, registration, caller = scene.serving()
    request = caller.call("work")
    invocation = agent.expect(registration, "invoke").values["call"]
    agent.tell("complete", invocation, payload=b"x" * TOO_LARGE)
    caller.expect_result(request, Status.TOO_LARGE)
    following = caller.call("work", b"next")
    agent.tell("complete", agent.expect(registration, "invoke", payload=b"next").values["call"], payload=b"fine")
    caller.expect_result(following, payload=b"fine")


@behaviour("an event larger than max-frame: TOO_LARGE, and the connection stays usable")
def event_too_large(scene: Scene) -> None:
    agent = scene.agent()
    agent.expect_error(agent.tell("publish", name="news", payload=b"x" * TOO_LARGE), "TOO_LARGE")
    agent.expect(agent.tell("publish", name="news", payload=b"small"), "done", subscribers="0")


@behaviour("what exceeds the max-frame of WELCOME is not even sent")
def kept_max_frame(scene: Scene) -> None:
    agent, link = scene.linked(largest_frame_bytes=1000)
    # Name, metadata and payload count together.
    for payload, metadata in ((997, {}), (100, {"k": "x" * 1000})):
        call = agent.tell("call", name="work", payload=b"x" * payload, metadata=metadata)
        agent.expect_error(call, "TOO_LARGE", origin="client")
    agent.expect_error(agent.tell("publish", name="work", payload=b"x" * 997), "TOO_LARGE", origin="client")
    call = agent.tell("call", name="work", payload=b"x" * 996)
    request = link.expect(Kind.CALL, payload=b"x" * 996)
    link.send(Kind.RESULT, id=request.id)
    agent.expect(call, "result")
