"""Durations as users give them (seconds, or a timedelta) and as the protocol has them (milliseconds in 32 bits)."""

import math
from datetime import timedelta
from typing import Optional, Union

from ._errors import InvalidArgument

Seconds = Union[float, timedelta]
"""A duration: seconds as a number, or a timedelta."""

_LARGEST_MILLISECONDS = 0xFFFFFFFF


def seconds(duration: Optional[Seconds], function: str) -> Optional[float]:
    """The duration in seconds, None where there is none. Raises InvalidArgument where it is no number."""
    if duration is None:
        return None
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, (int, float)):
        raise TypeError(f"a timeout is a number of seconds or a timedelta, and {duration!r} is neither")
    if math.isnan(duration):
        raise InvalidArgument("a timeout of nan cannot be", function=function)
    return float(duration)


def wire_milliseconds(duration: float) -> int:
    """What goes on the wire for more than 0 seconds: rounded up, so that something is never asked for as nothing."""
    if duration * 1000 >= _LARGEST_MILLISECONDS:
        return _LARGEST_MILLISECONDS
    # What the clock's subtraction adds to a whole number of milliseconds must not become another one.
    return max(1, math.ceil(duration * 1000 - 0.001))
