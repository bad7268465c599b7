"""What is expected, until when, and how it is told that it did not come."""

from __future__ import annotations

import time
from typing import Any

SHOWN_CHARACTERS = 400
POLL_SECONDS = 0.002


class Failure(Exception):
    """A behaviour is not there: the text says what was expected and what came."""


class Deadline:
    """When a behaviour has to be through. All its waits end there."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def missed(self, what: str) -> Failure:
        return Failure(f"expected {what}, and nothing came within {self.seconds:g} s")

    def poll(self, what: str, is_there: Any) -> None:
        """Asks again and again until it is there, for what nobody tells."""
        while not is_there():
            if not self.left():
                raise self.missed(what)
            time.sleep(POLL_SECONDS)


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"


def expect_equal(what: str, came: object, expected: object) -> None:
    if came != expected:
        raise Failure(f"{what}: expected {shown(expected)}, came {shown(came)}")


def expect(condition: bool, what: str) -> None:
    """Fails with the sentence where the condition does not hold."""
    if not condition:
        raise Failure(what)
