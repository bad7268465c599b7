"""Events as a subscriber gets them (protocol section 4, *Events*)."""

from collections import deque
from typing import TYPE_CHECKING, Deque, Generator, Mapping, Optional

from ._errors import HostcallError
from ._payload import Content
from ._waiters import Waiters
from ._wire import ENCODINGS, Frame

if TYPE_CHECKING:
    from ._subscriptions import Subscriptions


class Event(Content):
    """Something that somebody published."""

    __slots__ = ("name", "metadata", "place", "dropped_before", "follows_gap")

    def __init__(self, frame: Frame, dropped_before: int, follows_gap: bool) -> None:
        self.name = frame.name
        """The name under which it was published."""
        self.payload = frame.payload
        self.encoding = ENCODINGS[frame.encoding]
        self.metadata: Mapping[str, str] = frame.metadata
        """What the publisher sent beside the payload."""
        self.place = frame.id
        """Its place among all events that the daemon had for this connection, from 1; it starts again with each."""
        self.dropped_before = dropped_before
        """How many events were dropped since the one before, because this reader was too slow: by the daemon, which
        does not say which, so they need not have been of this name; or here, where they waited to be taken."""
        self.follows_gap = follows_gap
        """Whether the connection was lost since the one before, so that an unknown number of events never came."""

    def __repr__(self) -> str:
        return f"<Event {self.name} {len(self.payload)} bytes, {self.dropped_before} dropped before>"


class EventBuffer:
    """The events that wait for one reader, bounded: the oldest make way for new ones, and are counted.

    The connection puts events in and never waits. Loop thread only.
    """

    def __init__(self, most_events: int, most_bytes: int) -> None:
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._events: Deque[Event] = deque()
        self._bytes = 0
        self._dropped = 0
        self._follows_gap = False
        self._has_ended = False
        self._error: Optional[HostcallError] = None
        self._waiters = Waiters()

    def put(self, frame: Frame) -> None:
        """An event for this reader has come."""
        if self._has_ended:
            return
        event = Event(frame, self._dropped, self._follows_gap)
        self._dropped = 0
        self._follows_gap = False
        self._events.append(event)
        self._bytes += _bytes_of(event)
        while len(self._events) > 1 and (len(self._events) > self._most_events or self._bytes > self._most_bytes):
            oldest = self._events.popleft()
            self._bytes -= _bytes_of(oldest)
            self._events[0].dropped_before += oldest.dropped_before + 1
            self._events[0].follows_gap |= oldest.follows_gap
        self._waiters.wake_one()

    def note_dropped(self, events: int) -> None:
        """Events of this connection were dropped, of which some may have been for this reader."""
        self._dropped += events

    def note_gap(self) -> None:
        """The connection was lost, and with it what was published meanwhile."""
        self._follows_gap = True

    def end(self, error: Optional[HostcallError]) -> None:
        """No more events come."""
        if self._has_ended:
            return
        self._has_ended = True
        self._error = error
        self._waiters.wake_all()

    async def next(self) -> Optional[Event]:
        """The next event; None at the end."""
        while True:
            if self._events:
                event = self._events.popleft()
                self._bytes -= _bytes_of(event)
                return event
            if self._has_ended:
                if self._error is not None:
                    raise self._error._about(None)
                return None
            await self._waiters.wait()


def _bytes_of(event: Event) -> int:
    metadata = sum(3 + len(key) + len(value) for key, value in event.metadata.items()) if event.metadata else 0
    return len(event.name) + len(event.payload) + metadata


class Events:
    """The events of a name or pattern, as they come: `async for event in client.events("door.*"): …`.

    The subscription begins with the first event that is asked for, or before: `await events`, and `async with`, return
    when the daemon has taken it, and everything published from then on comes. It ends when the loop or the `async with`
    is left, or by `close`. Readers of one pattern share one subscription. After a lost connection the client subscribes
    again, and the next event `follows_gap`. Used on the loop of its client.
    """

    def __init__(self, subscriptions: "Subscriptions", pattern: str, buffer: EventBuffer) -> None:
        self.pattern = pattern
        """The name or pattern."""
        self._subscriptions = subscriptions
        self._buffer = buffer
        self._has_begun = False
        self._has_ended = False

    async def _begin(self) -> "Events":
        if not self._has_begun:
            self._has_begun = True
            try:
                await self._subscriptions.subscribe(self._buffer, self.pattern)
            except BaseException:
                self.close()
                raise
        return self

    def __await__(self) -> Generator[None, None, "Events"]:
        return self._begin().__await__()

    async def __aenter__(self) -> "Events":
        return await self._begin()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        if not self._has_begun:
            await self._begin()
        event = await self._buffer.next()
        if event is None:
            self.close()
            raise StopAsyncIteration
        return event

    def close(self) -> None:
        """Takes no more events. Doing it twice is fine."""
        if self._has_ended:
            return
        self._has_ended = True
        self._buffer.end(None)
        if self._has_begun:
            self._subscriptions.unsubscribe(self._buffer, self.pattern)

    def __del__(self) -> None:
        # Whoever left the loop has let go of it; any thread may be the one that notices.
        if self._has_begun and not self._has_ended:
            self._has_ended = True
            self._subscriptions.unsubscribe_soon(self._buffer, self.pattern)
