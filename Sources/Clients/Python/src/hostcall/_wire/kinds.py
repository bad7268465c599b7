"""What a frame is, and what its kind allows (protocol sections 4 and 5)."""

import enum
from typing import Dict, FrozenSet


class Direction(enum.Enum):
    """Which way a frame goes."""

    TO_DAEMON = "P>D"
    """From a peer to the daemon, `P>D` in the test vectors."""
    TO_PEER = "D>P"
    """From the daemon to a peer, `D>P` in the test vectors."""


class Kind(enum.IntEnum):
    """The kinds of frames (protocol section 4)."""

    HELLO = 1
    WELCOME = 2
    GOAWAY = 3
    PING = 4
    PONG = 5
    REGISTER = 8
    UNREGISTER = 9
    BIND = 10
    CALL = 16
    RESULT = 17
    INVOKE = 18
    COMPLETE = 19
    CANCEL = 20
    REJECTED = 21
    ITEM = 22
    CREDIT = 23
    SUBSCRIBE = 32
    UNSUBSCRIBE = 33
    PUBLISH = 34
    EVENT = 35


class Flags(enum.IntFlag):
    """The flags of a frame (protocol section 5)."""

    NONE = 0
    OPEN = 0x01
    LAST = 0x02
    NO_REPLY = 0x04
    IDEMPOTENT = 0x08
    DESCRIPTORS = 0x10
    WAIT = 0x20
    FROM_WORKER = 0x40


PROTOCOL_VERSION = 1
"""The one version spoken (section 8)."""

HELLO_ID = int.from_bytes(b"HOSTCALL", "little")
"""The `id` of every HELLO: the bytes `HOSTCALL`."""

REQUEST_MARK = 1 << 63
"""The bit that every request id of a client has and no correlation id has: it tells whose call an ITEM belongs to."""

LONGEST_PING_BYTES = 64
"""Bytes of the longest payload of PING and PONG (section 4)."""


class NameRule(enum.Enum):
    """What the name at the start of a body has to be."""

    UNUSED = 0
    """The kind has no name; one that comes anyway is passed over, but malformed it is refused as everywhere."""
    NAME = 1
    """A name, no pattern."""
    NAME_OR_PATTERN = 2
    """A name or a pattern."""
    OPTIONAL_NAME = 3
    """A name or nothing: CALL by handle, INVOKE of an exact registration."""


_BOTH_WAYS = frozenset({Kind.GOAWAY, Kind.PING, Kind.PONG, Kind.CANCEL, Kind.ITEM, Kind.CREDIT})

KINDS_BY_DIRECTION: Dict[Direction, FrozenSet[int]] = {
    Direction.TO_DAEMON: _BOTH_WAYS
    | {
        Kind.HELLO, Kind.REGISTER, Kind.UNREGISTER, Kind.BIND, Kind.CALL, Kind.COMPLETE, Kind.SUBSCRIBE,
        Kind.UNSUBSCRIBE, Kind.PUBLISH,
    },
    Direction.TO_PEER: _BOTH_WAYS | {Kind.WELCOME, Kind.RESULT, Kind.INVOKE, Kind.REJECTED, Kind.EVENT},
}
"""What each side may send."""

ALLOWED_FLAGS: Dict[int, int] = {
    Kind.CALL: 0x3D,
    Kind.INVOKE: 0x19,
    Kind.COMPLETE: 0x10,
    Kind.RESULT: 0x50,
    Kind.ITEM: 0x02,
}
"""The flags that have a meaning for a kind; for others none has."""

NAME_RULES: Dict[int, NameRule] = {
    Kind.REGISTER: NameRule.NAME_OR_PATTERN,
    Kind.SUBSCRIBE: NameRule.NAME_OR_PATTERN,
    Kind.UNSUBSCRIBE: NameRule.NAME_OR_PATTERN,
    Kind.BIND: NameRule.NAME,
    Kind.PUBLISH: NameRule.NAME,
    Kind.EVENT: NameRule.NAME,
    Kind.CALL: NameRule.OPTIONAL_NAME,
    Kind.INVOKE: NameRule.OPTIONAL_NAME,
}
"""What the name of a kind has to be; of others it is unused."""

KINDS_WITHOUT_ID: FrozenSet[int] = frozenset({Kind.GOAWAY, Kind.PING, Kind.PONG, Kind.PUBLISH})
"""The kinds whose id may be zero."""
