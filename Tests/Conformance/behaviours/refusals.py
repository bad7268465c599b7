"""What no daemon may send: the client says so, gives the connection up, and ends what was under way, once.

The frames are those that a daemon refuses, turned round: kinds that only a daemon sends become kinds that only a peer
sends, and names, metadata, flags, encodings and statuses go into frames that a daemon sends. Left out are keys that
begin with `hostcall-`, and a CALL with name and handle or neither, which have no counterpart.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Set, Tuple

from agent import Agent
from behaviour import behaviour
from expectation import Failure, expect
from fake_daemon import Link
from scene import Scene, expect_no_report
from vectors import REFUSED, VECTORS, Vector
from wire import HEADER_BYTES, Direction, Flags, Frame, Kind, Status, encode, encode_frame

from .frames_from_the_daemon import register

HANDLE = 1
"""Of the function that the agent serves while it is sent what it must refuse."""
RUNNING_CALL = 77
"""The correlation id of the call that it runs."""
LARGEST_PEAK_BYTES = 1 << 29
"""Of memory, in an agent that was announced 4 GiB."""


class Moment(NamedTuple):
    """Where a conversation stands when the bad frame comes."""

    agent: Agent
    link: Link
    call: str
    """The tag of a call of the agent's without a RESULT."""
    request: int
    """Its request id."""
    invocation: str
    """The tag of the call `RUNNING_CALL`, which the agent runs."""


class BadFrame(NamedTuple):
    what: str
    data: Callable[[Moment], bytes]


def fixed(what: str, data: bytes) -> BadFrame:
    return BadFrame(what, lambda moment: data)


def refused_with_kind(old: Kind, new: Kind, text: str, function: int = 0) -> List[BadFrame]:
    """Those that are refused for what `text` says, as frames that a daemon may send."""
    frames = []
    for refused in REFUSED:
        if refused.data[4] != old or text not in refused.what:
            continue
        data = bytearray(refused.data)
        data[4] = new
        data[16:20] = function.to_bytes(4, "little")
        frames.append(fixed(f"{refused.what}, in {new.name}", bytes(data)))
    expect(bool(frames), f"expected vectors of {old.name} that are refused for “{text}”")
    return frames


def begin(scene: Scene) -> Moment:
    """An agent that has a call in flight, and runs one."""
    agent, link = scene.linked()
    registration = register(agent, link, "served", HANDLE)
    link.send(Kind.INVOKE, id=RUNNING_CALL, function=HANDLE, timeout=60_000)
    invocation = agent.expect(registration, "invoke").values["call"]
    call = agent.tell("call", name="token.fetch")
    return Moment(agent, link, call, link.expect(Kind.CALL).id, invocation)


def check_refusal(moment: Moment, bad: BadFrame) -> None:
    """The agent says GOAWAY PROTOCOL, closes, ends its call once, and connects again."""
    moment.link.send_bytes(bad.data(moment))
    goodbyes = [frame for frame in moment.link.rest() if frame.kind == Kind.GOAWAY]
    expect(
        len(goodbyes) == 1 and goodbyes[0].status == Status.PROTOCOL and len(goodbyes[0].payload) > 0,
        f"expected one GOAWAY with PROTOCOL and a reason before the end, came {goodbyes}",
    )
    moment.agent.expect_error(moment.call, code="connection-lost")
    moment.agent.expect(moment.invocation, "cancelled")


def check_refusals(scene: Scene, frames: List[BadFrame]) -> None:
    """Each on a connection of its own, by one agent after another."""
    for bad in frames:
        try:
            moment = begin(scene)
            check_refusal(moment, bad)
            # It serves again, so it has not been harmed.
            again = scene.accept()
            again.greet()
            expect("served" in names_registered(again), "expected that the function is registered again")
            expect_no_report(moment.agent, moment.call)
            moment.agent.finish()
            moment.link.close()
            again.close()
        except Failure as failure:
            raise Failure(f"{bad.what}: {failure}") from None


def names_registered(link: Link) -> Set[str]:
    """Answers what is registered at once on a new connection; gives the names."""
    requests = [request for request in link.barrier() if request.kind == Kind.REGISTER]
    for handle, _ in enumerate(requests, HANDLE):
        link.answer(Kind.REGISTER, aux=handle)
    return {request.name for request in requests}


@behaviour("parts that do not fit the body")
def parts(scene: Scene) -> None:
    check_refusals(
        scene,
        refused_with_kind(Kind.BIND, Kind.EVENT, "longer than the body")
        + refused_with_kind(Kind.CALL, Kind.INVOKE, "longer than the body", HANDLE),
    )


@behaviour("unknown kinds")
def unknown_kinds(scene: Scene) -> None:
    check_refusals(scene, [fixed(one.what, one.data) for one in REFUSED if "unknown kind" in one.what])


@behaviour("kinds that only a peer sends")
def kinds_of_peers(scene: Scene) -> None:
    two_way = (Kind.GOAWAY, Kind.PING, Kind.CANCEL, Kind.ITEM, Kind.CREDIT)
    first: Dict[int, Vector] = {}
    for vector in VECTORS:
        if vector.way is Direction.TO_DAEMON and vector.frame.kind not in two_way:
            first.setdefault(vector.frame.kind, vector)
    frames = [fixed(vector.what, vector.data) for vector in first.values()]
    frames.append(fixed("UNREGISTER", encode(Kind.UNREGISTER, 1, function=HANDLE)))
    frames.append(fixed("UNSUBSCRIBE", encode(Kind.UNSUBSCRIBE, 1, name=b"door.*")))
    check_refusals(scene, frames)


@behaviour("unknown flags, and flags without a meaning for the kind")
def flags(scene: Scene) -> None:
    def result_with(flag: int) -> BadFrame:
        return BadFrame(f"flag {flag:#04x} on RESULT", lambda moment: encode(Kind.RESULT, moment.request, flags=flag))

    strange = (0x80, Flags.OPEN, Flags.LAST, Flags.NO_REPLY, Flags.IDEMPOTENT, Flags.WAIT)
    frames = [result_with(flag) for flag in strange]
    for flag in (0x80, Flags.LAST, Flags.NO_REPLY, Flags.WAIT, Flags.FROM_WORKER):
        frames.append(
            fixed(f"flag {flag:#04x} on INVOKE", encode(Kind.INVOKE, 78, function=HANDLE, timeout=9, flags=flag))
        )
    frames.append(fixed("flag OPEN on CANCEL", encode(Kind.CANCEL, RUNNING_CALL, status=11, flags=Flags.OPEN)))
    frames.append(fixed("flag LAST on CREDIT", encode(Kind.CREDIT, RUNNING_CALL, aux=1, flags=Flags.LAST)))
    check_refusals(scene, frames)


@behaviour("file descriptors announced that nobody agreed on")
def descriptors(scene: Scene) -> None:
    check_refusals(
        scene,
        [
            BadFrame(
                "DESCRIPTORS on RESULT without the feature",
                lambda moment: encode(Kind.RESULT, moment.request, flags=Flags.DESCRIPTORS),
            )
        ],
    )


@behaviour("malformed names, and a pattern where a name is needed")
def names(scene: Scene) -> None:
    frames = refused_with_kind(Kind.REGISTER, Kind.EVENT, "malformed name")
    frames += refused_with_kind(Kind.BIND, Kind.EVENT, "of a pattern")
    frames += refused_with_kind(Kind.CALL, Kind.INVOKE, "of a pattern", HANDLE)
    check_refusals(scene, frames)


@behaviour("malformed metadata")
def metadata(scene: Scene) -> None:
    frames = refused_with_kind(Kind.CALL, Kind.INVOKE, "metadata: ", HANDLE)
    check_refusals(scene, [frame for frame in frames if "of the daemon" not in frame.what])


@behaviour("reserved encodings and statuses")
def reserved(scene: Scene) -> None:
    frames = [
        BadFrame("RESULT with encoding 3", lambda moment: encode(Kind.RESULT, moment.request, encoding=3)),
        BadFrame("RESULT with encoding 127", lambda moment: encode(Kind.RESULT, moment.request, encoding=127)),
        BadFrame("RESULT with status 100", lambda moment: encode(Kind.RESULT, moment.request, status=100)),
        BadFrame("RESULT with status 26", lambda moment: encode(Kind.RESULT, moment.request, status=26)),
        fixed("CANCEL with status 98", encode(Kind.CANCEL, RUNNING_CALL, status=98)),
    ]
    check_refusals(scene, refused_with_kind(Kind.CALL, Kind.INVOKE, "unknown encoding", HANDLE) + frames)


@behaviour("zero ids")
def zero_ids(scene: Scene) -> None:
    frames = [
        fixed(f"{kind.name} with the id 0", encode(kind, 0, function=HANDLE if kind == Kind.INVOKE else 0, aux=1))
        for kind in (Kind.RESULT, Kind.INVOKE, Kind.CANCEL, Kind.REJECTED, Kind.ITEM, Kind.CREDIT)
    ]
    check_refusals(scene, frames)


@behaviour("RESULT for a request that is not outstanding")
def strange_results(scene: Scene) -> None:
    check_refusals(
        scene,
        [
            fixed("RESULT for 5", encode(Kind.RESULT, 5)),
            BadFrame("RESULT for a later request", lambda moment: encode(Kind.RESULT, moment.request + 1000)),
        ],
    )


def nameless_invoke(moment: Moment) -> bytes:
    """Has the agent register a pattern, and gives an INVOKE of it that lacks the called name."""
    register(moment.agent, moment.link, "files.*", HANDLE + 1)
    return encode(Kind.INVOKE, 78, function=HANDLE + 1, timeout=1000)


@behaviour("INVOKE with a handle that was never given, of a call that runs already, of a pattern without a name")
def strange_invokes(scene: Scene) -> None:
    check_refusals(
        scene,
        [
            fixed("INVOKE with handle 9", encode(Kind.INVOKE, 78, function=9, timeout=1000)),
            fixed("INVOKE of the call that runs", encode(Kind.INVOKE, RUNNING_CALL, function=HANDLE, timeout=1000)),
            BadFrame("INVOKE of a pattern without a name", nameless_invoke),
        ],
    )


@behaviour("ITEMs without credit and out of order, EVENT without a subscription")
def strange_items(scene: Scene) -> None:
    check_refusals(
        scene,
        [
            BadFrame("ITEM for a plain call", lambda moment: encode(Kind.ITEM, moment.request, payload=b"x")),
            fixed("ITEM for a call without arguments", encode(Kind.ITEM, RUNNING_CALL, payload=b"x")),
            fixed("EVENT without a subscription", encode(Kind.EVENT, 1, name=b"door.opened")),
            BadFrame("ITEM past the window", lambda moment: items_of_stream(moment, (0, 1, 2))),
            BadFrame("ITEM with a place left out", lambda moment: items_of_stream(moment, (0, 2))),
        ],
    )


def items_of_stream(moment: Moment, places: Tuple[int, ...]) -> bytes:
    """Begins a call that takes two items, and gives ITEMs for it."""
    moment.agent.tell("call", name="numbers", window=2)
    request = moment.link.expect(Kind.CALL, name="numbers", aux=2).id
    return b"".join(encode(Kind.ITEM, request, aux=place, payload=b"x") for place in places)


@behaviour("a second WELCOME, and a PING of more than 64 bytes")
def greetings(scene: Scene) -> None:
    second = next(vector for vector in VECTORS if vector.what == "WELCOME")
    long_ping = next(refused for refused in REFUSED if refused.what == "PING with 65 bytes")
    check_refusals(scene, [fixed("a second WELCOME", second.data), fixed(long_ping.what, long_ping.data)])


@behaviour("anything but WELCOME first: the connection cannot be made")
def before_welcome(scene: Scene) -> None:
    for what, data in (
        ("RESULT before WELCOME", encode(Kind.RESULT, 1)),
        ("PING before WELCOME", encode(Kind.PING, 1)),
        ("an HTTP answer", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        ("a version that was not offered", encode_frame(welcome_frame(function=2))),
        ("WELCOME without max-frame", encode_frame(welcome_frame(metadata={"server": "s/1", "instance": "0" * 32}))),
    ):
        try:
            scene.fake_daemon()
            agent = scene.agent_process()
            connecting = agent.tell("connect")
            link = scene.accept()
            link.expect(Kind.HELLO)
            link.send_bytes(data)
            link.rest()
            agent.expect_error(connecting, code="cannot-connect")
            agent.finish()
        except Failure as failure:
            raise Failure(f"{what}: {failure}") from None


def welcome_frame(**fields: Any) -> Frame:
    return next(vector for vector in VECTORS if vector.what == "WELCOME").frame._replace(**fields)


@behaviour("WELCOME with VERSION: cannot connect, and the daemon's versions are told")
def no_common_version(scene: Scene) -> None:
    scene.fake_daemon()
    agent = scene.agent_process()
    connecting = agent.tell("connect")
    link = scene.accept()
    link.expect(Kind.HELLO)
    link.send(Kind.WELCOME, id=7, status=Status.VERSION, payload=b"2 to 3")
    link.close()
    report = agent.expect_error(connecting, code="cannot-connect")
    expect("2 to 3" in report.message, f"expected the daemon's versions in “{report.message}”")


@behaviour("the connection's end in the middle of a frame")
def cut_short(scene: Scene) -> None:
    for cut in (1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 3):
        moment = begin(scene)
        data = encode(Kind.RESULT, moment.request, payload=b"never whole")
        moment.link.send_bytes(data[:cut])
        moment.link.close()
        moment.agent.expect_error(moment.call, code="connection-lost")
        expect_no_report(moment.agent, moment.call)
        moment.agent.finish()


@behaviour("a body of 4 GiB that is announced: TOO_LARGE or the connection's loss, and no room made for it")
def announced_size(scene: Scene) -> None:
    moment = begin(scene)
    header = bytearray(encode(Kind.RESULT, moment.request))
    header[0:4] = (0xFFFF_FFFF).to_bytes(4, "little")
    moment.link.send_bytes(bytes(header) + b"x" * (1 << 20))
    # Some skip the body first, and it never comes whole.
    moment.link.close()
    report = moment.agent.expect(moment.call, "error")
    expect(
        report.text("status") == "TOO_LARGE" or report.text("code") == "connection-lost",
        f"expected TOO_LARGE or the connection's loss, came “{report}”",
    )
    peak = moment.agent.peak_memory_bytes()
    expect(peak < LARGEST_PEAK_BYTES, f"expected less than {LARGEST_PEAK_BYTES} bytes of memory, came {peak}")
