"""How a call ends, and what the bytes of a payload are (protocol sections 2 and 6)."""

import enum


class Status(enum.IntEnum):
    """How a call or a request ended: one byte on the wire (protocol section 6).

    Values never change. 128 to 255 belong to the application: `Status(200)` is a status too, named `STATUS_200`.
    """

    OK = 0
    NULL_POINTER = 1
    BUFFER_TOO_SMALL = 2
    INVALID_UTF8 = 3
    SERIALIZATION = 4
    PANIC = 5
    TIMEOUT = 6
    NOT_FOUND = 7
    LOCK_POISONED = 8
    FAILED = 10
    CANCELLED = 11
    WORKER_LOST = 12
    UNAVAILABLE = 13
    OVERLOADED = 14
    DENIED = 15
    TOO_LARGE = 16
    PROTOCOL = 17
    VERSION = 18
    SHUTTING_DOWN = 19
    ALREADY_REGISTERED = 20
    INVALID_ARGUMENT = 21
    UNKNOWN_CALL = 22
    LATE = 23
    DUPLICATE = 24
    CALLER_LOST = 25
    UNKNOWN = 99

    @classmethod
    def _missing_(cls, value: object) -> "Status":
        if not isinstance(value, int) or not 0 <= value <= 255:
            raise ValueError(f"{value!r} is not a status: those are 0 to 255")
        status = int.__new__(cls, value)
        status._name_ = f"STATUS_{value}"
        status._value_ = value
        # There are at most 256 of them; the same number is the same object from now on, as of the named ones.
        return cls._value2member_map_.setdefault(value, status)  # type: ignore[return-value]

    def __str__(self) -> str:
        return self._name_

    @property
    def is_application_defined(self) -> bool:
        """Whether the application, not the protocol, gives it its meaning."""
        return self >= 128

    @property
    def is_assigned(self) -> bool:
        """Whether section 6 gives it a meaning; 9, 26 to 98 and 100 to 127 are reserved."""
        return self >= 128 or self == 99 or (self <= 25 and self != 9)

    @property
    def is_allowed_in_completion(self) -> bool:
        """Whether a worker may end a call with it (protocol section 4, *Completing*)."""
        return self <= 11 or self == 99 or self >= 128


class Encoding(enum.IntEnum):
    """What the bytes of a payload are (protocol section 2). The daemon passes it on and never looks inside.

    128 to 255 belong to the application: `Encoding(200)` is an encoding too.
    """

    RAW = 0
    JSON = 1
    CBOR = 2

    @classmethod
    def _missing_(cls, value: object) -> "Encoding":
        if not isinstance(value, int) or not 128 <= value <= 255:
            raise ValueError(f"{value!r} is not an encoding: those are 0 to 2, and 128 to 255 of the application's own")
        encoding = int.__new__(cls, value)
        encoding._name_ = f"ENCODING_{value}"
        encoding._value_ = value
        return cls._value2member_map_.setdefault(value, encoding)  # type: ignore[return-value]

    def __str__(self) -> str:
        return self._name_.lower() if self <= 2 else str(self._value_)


STATUSES = tuple(Status(value) for value in range(256))
"""Every status by its byte: looking one up costs less than making one."""

ASSIGNED_STATUSES = frozenset(status for status in STATUSES if status.is_assigned)
"""The statuses that section 6 gives a meaning."""

COMPLETION_STATUSES = frozenset(status for status in STATUSES if status.is_allowed_in_completion)
"""The statuses that a worker may use."""

ENCODINGS = {value: Encoding(value) for value in (0, 1, 2, *range(128, 256))}
"""Every encoding by its byte; other bytes are reserved."""
