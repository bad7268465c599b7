"""The rules of section 3 that a single frame can break, whatever came before it on the connection."""

from typing import Callable

from .kinds import (
    ALLOWED_FLAGS, HELLO_ID, KINDS_BY_DIRECTION, KINDS_WITHOUT_ID, LONGEST_PING_BYTES, NAME_RULES, Direction, Kind,
    NameRule,
)
from .names import LONGEST_NAME_BYTES, is_name, is_pattern
from .status import ASSIGNED_STATUSES, COMPLETION_STATUSES, ENCODINGS, STATUSES
from .violation import ProtocolViolation, printable

_KINDS = {kind.value: kind for kind in Kind}
_FLAG_NAMES = ("OPEN", "LAST", "NO_REPLY", "IDEMPOTENT", "DESCRIPTORS", "WAIT", "FROM_WORKER", "0x80")


def check_header(
    direction: Direction, size: int, kind: int, flags: int, encoding: int, status: int, id: int, function: int,
    name_bytes: int, metadata_bytes: int, aux: int,
) -> None:
    """Raises ProtocolViolation where the header alone shows that a rule is broken."""
    if kind not in _KINDS:
        raise ProtocolViolation(f"unknown kind {kind}")
    name = _KINDS[kind].name
    if kind not in KINDS_BY_DIRECTION[direction]:
        raise ProtocolViolation(f"{name} is not for this side to send")
    if name_bytes + metadata_bytes > size:
        raise ProtocolViolation(
            f"{name} has a body of {size} bytes, too small for {name_bytes} bytes of name and {metadata_bytes} of "
            "metadata"
        )
    if name_bytes > LONGEST_NAME_BYTES:
        raise ProtocolViolation(f"{name} has a name of {name_bytes} bytes, {LONGEST_NAME_BYTES} are the most")
    if name_bytes == 0 and NAME_RULES.get(kind) in (NameRule.NAME, NameRule.NAME_OR_PATTERN):
        raise ProtocolViolation(f"{name} has no name")
    strange = flags & ~ALLOWED_FLAGS.get(kind, 0)
    if strange:
        names = "|".join(_FLAG_NAMES[bit] for bit in range(8) if strange & (1 << bit))
        raise ProtocolViolation(f"{name} has the flag {names}, which means nothing there")
    if encoding not in ENCODINGS:
        raise ProtocolViolation(f"{name} has the reserved encoding {encoding}")
    if id == 0 and kind not in KINDS_WITHOUT_ID and kind != Kind.HELLO:
        raise ProtocolViolation(f"{name} has the id 0")
    check_by_kind = _CHECKS_BY_KIND.get(kind)
    if check_by_kind is not None:
        check_by_kind(name, size - name_bytes - metadata_bytes, status, id, function, name_bytes, aux)
    # What a worker may use reaches its caller, the unnamed 9 among them.
    is_outcome = kind in (Kind.RESULT, Kind.COMPLETE)
    if status not in ASSIGNED_STATUSES and not (is_outcome and status in COMPLETION_STATUSES):
        raise ProtocolViolation(f"{name} has the reserved status {status}")


def _check_call(kind: str, payload: int, status: int, id: int, function: int, name_bytes: int, aux: int) -> None:
    if (function == 0) == (name_bytes == 0):
        has = "neither name nor handle" if function == 0 else "both a name and a handle"
        raise ProtocolViolation(f"CALL has {has}")


def _check_hello(kind: str, payload: int, status: int, id: int, function: int, name_bytes: int, aux: int) -> None:
    if id != HELLO_ID:
        raise ProtocolViolation("HELLO does not carry the bytes HOSTCALL as its id")
    if function > aux:
        raise ProtocolViolation(f"HELLO says lowest version {function}, above its highest, {aux}")


def _check_ping(kind: str, payload: int, status: int, id: int, function: int, name_bytes: int, aux: int) -> None:
    if payload > LONGEST_PING_BYTES:
        raise ProtocolViolation(f"{kind} has {payload} bytes of payload, {LONGEST_PING_BYTES} are the most")


def _check_complete(kind: str, payload: int, status: int, id: int, function: int, name_bytes: int, aux: int) -> None:
    if status not in COMPLETION_STATUSES:
        raise ProtocolViolation(f"COMPLETE has the status {STATUSES[status]}, which a worker may not use")


_CHECKS_BY_KIND: "dict[int, Callable[[str, int, int, int, int, int, int], None]]" = {
    Kind.CALL: _check_call, Kind.HELLO: _check_hello, Kind.PING: _check_ping, Kind.PONG: _check_ping,
    Kind.COMPLETE: _check_complete,
}


def check_name(kind: int, name: bytes) -> None:
    """Raises ProtocolViolation where the name is not what the kind needs."""
    rule = NAME_RULES.get(kind, NameRule.UNUSED)
    if is_name(name):
        return
    if not name and rule in (NameRule.UNUSED, NameRule.OPTIONAL_NAME):
        return
    if is_pattern(name):
        if rule in (NameRule.UNUSED, NameRule.NAME_OR_PATTERN):
            return
        raise ProtocolViolation(f"{Kind(kind).name} needs a name and has the pattern {printable(name)}")
    raise ProtocolViolation(f"{Kind(kind).name} has the malformed name “{printable(name)}”")
