"""What a client bounds, and how it connects again."""

import math
import random
from dataclasses import dataclass
from typing import Callable, Optional

LARGEST_ITEM_WINDOW = 1_048_576
"""Items, the largest window that can be asked for."""


@dataclass(frozen=True)
class Limits:
    """The limits of one client. Every one has a default; meeting one is an error or a wait, never a crash."""

    connect_timeout: float = 5.0
    """Seconds that the daemon may take to answer the first frame."""
    answer_grace: float = 1.0
    """Seconds past the deadline of a call that the daemon may take to say how it ended; then the client ends it with
    TIMEOUT by itself."""
    liveness_limit: Optional[float] = 30.0
    """Seconds that the daemon may be silent, even when asked, while something depends on it; then the connection counts
    as lost. None: for ever."""
    drain_timeout: float = 10.0
    """Seconds that the daemon may take to read the last outcomes at a shutdown; then the client closes without."""
    largest_frame_bytes: int = 256 << 20
    """Bytes of the largest body that is taken from the daemon. What is larger ends its call with TOO_LARGE."""
    largest_queue_bytes: int = 256 << 20
    """Bytes that may wait for a daemon that does not read. A call beyond it ends with OVERLOADED at once, an outcome of a
    call that runs here waits, and a daemon that goes on with PING counts as lost."""
    item_window: int = 32
    """Items of one stream that may be on their way to their reader in this program: results of a call whose `stream`
    does not say, and arguments of each call that is answered. 1 to 1,048,576."""
    item_queue_bytes: int = 1 << 20
    """Bytes waiting for a daemon that does not read, past which `send` of items waits."""
    waiting_events: int = 1_024
    """Events that may wait for one reader in this program; past that its oldest are dropped, and counted."""
    waiting_event_bytes: int = 8 << 20
    """Bytes of such events, beside the newest."""
    threads_per_function: int = 64
    """Threads for the calls of one plain function that was registered without a concurrency."""

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "answer_grace", "liveness_limit", "drain_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
                raise ValueError(f"{name} is {seconds!r}: it has to be more than 0 seconds")
        for name in (
            "largest_frame_bytes", "largest_queue_bytes", "item_window", "item_queue_bytes", "waiting_events",
            "waiting_event_bytes", "threads_per_function",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: it has to be at least 1")


@dataclass(frozen=True)
class Reconnect:
    """How a client connects again after its connection was lost.

    With registrations or event readers it does so in the background, after `initial_delay` seconds, then twice as long
    each time up to `maximum_delay`, each wait shortened at random by up to a half. Without either it connects again
    with its next call.
    """

    initial_delay: float = 0.01
    """Seconds of the first wait."""
    maximum_delay: float = 5.0
    """Seconds of the longest wait."""

    def __post_init__(self) -> None:
        if not 0 < self.initial_delay <= self.maximum_delay or not math.isfinite(self.maximum_delay):
            raise ValueError("the delays of Reconnect are more than 0 seconds, and the first is no longer than the last")


class Backoff:
    """The waits between attempts that follow each other."""

    def __init__(self, policy: Reconnect, randomness: Callable[[], float] = random.random) -> None:
        self._policy = policy
        self._randomness = randomness
        self._next = policy.initial_delay

    def next_delay(self) -> float:
        """Seconds to wait: between half of the delay and the whole, which then doubles."""
        delay = self._next
        self._next = min(delay * 2, self._policy.maximum_delay)
        return delay * (1 + self._randomness()) / 2

    def reset(self) -> None:
        """Starts over: the last connection was a good one."""
        self._next = self._policy.initial_delay


def clamped_window(items: int) -> int:
    """The nearest window to `items` that can be."""
    return min(max(1, items), LARGEST_ITEM_WINDOW)
