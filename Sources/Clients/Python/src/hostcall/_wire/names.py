"""Names and patterns (protocol section 2), as bytes that come from outside and as text of this program."""

import re

LONGEST_NAME_BYTES = 255
"""Bytes of the longest name or pattern."""

RESERVED_NAME_PREFIX = "hostcall."
"""The beginning of the names of the daemon's own functions and events."""

_NAME = re.compile(rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_PATTERN = re.compile(rb"(?:[A-Za-z0-9_-]+\.)*\*")


def is_name(name: bytes) -> bool:
    """Whether the bytes are a name: 1 to 255 bytes, segments of `A-Z a-z 0-9 _ -` joined by single dots."""
    return len(name) <= LONGEST_NAME_BYTES and _NAME.fullmatch(name) is not None


def is_pattern(name: bytes) -> bool:
    """Whether the bytes are a pattern: a name followed by `.*`, or `*` alone; 255 bytes at most."""
    return len(name) <= LONGEST_NAME_BYTES and _PATTERN.fullmatch(name) is not None
