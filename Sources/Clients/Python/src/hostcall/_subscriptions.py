"""Subscriptions, made once and made again on every new connection, and what is published. Loop thread only."""

import asyncio
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional

from ._context import current
from ._errors import HostcallError, Overloaded, ShuttingDown, Unavailable, result_error
from ._events import EventBuffer
from ._link import Link
from ._payload import Payload, wire_metadata, wire_payload
from ._registration import State
from ._requests import OutgoingRequest, event_name, lack, pattern_name, refusal
from ._wire import Frame, Kind, ProtocolViolation, encode

if TYPE_CHECKING:
    from ._connection import Connection

TRANSIENT = (Overloaded, ShuttingDown, Unavailable)
"""Refusals that may be others a little later."""


class Subscription(OutgoingRequest):
    """A name or pattern whose events this client gets, for one reader or several."""

    def __init__(self, subscriptions: "Subscriptions", pattern: str) -> None:
        self.pattern = pattern
        self.buffers: List[EventBuffer] = []
        self.state = State.NEW
        self.is_subscribing = False
        self.is_subscribed = False
        self.waiters: "List[asyncio.Future[None]]" = []
        self._subscriptions = subscriptions
        self._name = pattern_name(pattern)

    def transmit(self, link: Link) -> None:
        if self.state is State.ENDED:
            return
        error = lack("events", link)
        if error is not None:
            error = error._about(self.pattern)
            self._subscriptions.forget(self, error)
            return self.answer(error)
        id = self._subscriptions.connection.next_request_id()
        self.is_subscribing = True
        link.has_subscribed = True
        link.requests[id] = self
        link.write(encode(Kind.SUBSCRIBE, id, name=self._name))

    def receive(self, frame: Frame, link: Link) -> None:
        self.is_subscribing = False
        if self.state is State.ENDED:
            return
        if frame.status == 0:
            self.is_subscribed = True
            self.state = State.ESTABLISHED
            return self.answer(None)
        error = result_error(frame, self.pattern)
        if self.state is State.ESTABLISHED and isinstance(error, TRANSIENT):
            self._subscriptions.connection.retry_later("subscription", error)
        else:
            self._subscriptions.forget(self, error)
            self.answer(error)

    def fail(self, error: HostcallError) -> None:
        self.is_subscribing = False
        self.is_subscribed = False
        if self.state is State.NEW:
            error = error._about(self.pattern)
            self._subscriptions.forget(self, error)
            self.answer(error)

    def end_at(self, link: Link) -> None:
        """Writes UNSUBSCRIBE, if the daemon has heard of it."""
        if self.is_subscribing or self.is_subscribed:
            id = self._subscriptions.connection.next_request_id()
            link.requests[id] = _Unsubscribing()
            link.write(encode(Kind.UNSUBSCRIBE, id, name=self._name))

    def answer(self, error: Optional[HostcallError]) -> None:
        """Tells those who wait for the first answer."""
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error._about(None))


class _Unsubscribing(OutgoingRequest):
    """The end of a subscription. What the daemon does not have any more need not be ended."""

    def receive(self, frame: Frame, link: Link) -> None:
        pass

    def fail(self, error: HostcallError) -> None:
        pass


class Publication(OutgoingRequest):
    """Something on its way to subscribers. It may be made in any thread."""

    def __init__(
        self, connection: "Connection", name: str, payload: Payload, *, encoding: Optional[int],
        metadata: Optional[Mapping[str, str]], wants_answer: bool,
    ) -> None:
        self._connection = connection
        self._function = name
        self._name = event_name(name)
        self._payload, self._encoding = wire_payload(payload, encoding)
        self._metadata = wire_metadata(metadata, name)
        self._wants_answer = wants_answer
        context = current.get()
        self.is_inside_handler = context is not None and context.correlation_id is not None
        self._when_ended: Optional[Callable[[int, Optional[HostcallError]], None]] = None

    def begin(self, when_ended: Callable[[int, Optional[HostcallError]], None]) -> None:
        """Publishes; `when_ended` is told the number of subscribers, or an error, once."""
        self._when_ended = when_ended
        self._connection.submit(self)

    def transmit(self, link: Link) -> None:
        body_bytes = len(self._name) + len(self._metadata) + len(self._payload)
        error = lack("events", link) or refusal(body_bytes, "the event", self._connection, link)
        if error is not None:
            return self.fail(error)
        id = self._connection.next_request_id() if self._wants_answer else 0
        if self._wants_answer:
            link.requests[id] = self
        link.write(
            encode(
                Kind.PUBLISH, id, encoding=self._encoding, name=self._name, metadata=self._metadata,
                payload=self._payload,
            )
        )
        if not self._wants_answer:
            self._end(0, None)

    def receive(self, frame: Frame, link: Link) -> None:
        self._end(frame.aux, None if frame.status == 0 else result_error(frame, self._function))

    def fail(self, error: HostcallError) -> None:
        self._end(0, error._about(self._function))

    def _end(self, subscribers: int, error: Optional[HostcallError]) -> None:
        when_ended, self._when_ended = self._when_ended, None
        if when_ended is not None:
            when_ended(subscribers, error)


class Subscriptions:
    """The readers of events of one client, by the name or pattern that they wait for."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self._subscriptions: Dict[str, Subscription] = {}

    @property
    def has_subscriptions(self) -> bool:
        """Whether there is anything to come back for."""
        return bool(self._subscriptions)

    async def subscribe(self, buffer: EventBuffer, pattern: str) -> None:
        """Adds a reader; returns when its events come."""
        subscription = self._subscriptions.get(pattern)
        is_first = subscription is None
        if subscription is None:
            subscription = Subscription(self, pattern)
            self._subscriptions[pattern] = subscription
        subscription.buffers.append(buffer)
        if subscription.state is State.ESTABLISHED:
            return
        waiter: "asyncio.Future[None]" = self.connection.loop.create_future()
        subscription.waiters.append(waiter)
        if is_first:
            self.connection.submit(subscription)
        await waiter

    def unsubscribe(self, buffer: EventBuffer, pattern: str) -> None:
        """A reader has gone. With the last one of its pattern the subscription ends."""
        subscription = self._subscriptions.get(pattern)
        if subscription is None or buffer not in subscription.buffers:
            return
        subscription.buffers.remove(buffer)
        if subscription.buffers:
            return
        del self._subscriptions[pattern]
        subscription.state = State.ENDED
        link = self.connection.link
        if link is not None and not link.is_closed:
            subscription.end_at(link)

    def unsubscribe_soon(self, buffer: EventBuffer, pattern: str) -> None:
        """The same from any thread."""
        try:
            self.connection.loop.call_soon_threadsafe(self.unsubscribe, buffer, pattern)
        except RuntimeError:
            # The loop is closed, and the connection with it.
            pass

    def forget(self, subscription: Subscription, error: Optional[HostcallError]) -> None:
        """It does not come back, and its readers are told so."""
        subscription.state = State.ENDED
        if self._subscriptions.get(subscription.pattern) is subscription:
            del self._subscriptions[subscription.pattern]
            for buffer in subscription.buffers:
                buffer.end(error)

    def connected(self, link: Link) -> None:
        """A new connection is there: what was subscribed to before is subscribed to again, with a gap."""
        for subscription in list(self._subscriptions.values()):
            if subscription.state is State.ESTABLISHED:
                for buffer in subscription.buffers:
                    buffer.note_gap()
                subscription.transmit(link)

    def retry(self, link: Link) -> None:
        """Tries once more with what the daemon has not taken back."""
        for subscription in list(self._subscriptions.values()):
            if not subscription.is_subscribed and not subscription.is_subscribing:
                subscription.transmit(link)

    def disconnected(self) -> None:
        """The connection has ended: what the daemon never took has failed already, the others come back."""
        for subscription in self._subscriptions.values():
            subscription.is_subscribing = False
            subscription.is_subscribed = False

    def close(self, reason: Optional[HostcallError], closed: HostcallError) -> None:
        """The client is closed, for this reason unless this program wanted it."""
        for subscription in list(self._subscriptions.values()):
            self.forget(subscription, reason)
            subscription.answer(closed)

    def receive_event(self, frame: Frame, link: Link) -> None:
        """EVENT has come, once for all patterns that its name matches."""
        if not link.has_subscribed:
            raise ProtocolViolation("EVENT without a subscription")
        dropped = frame.aux + (1 if frame.is_too_large else 0)
        if dropped:
            for subscription in self._subscriptions.values():
                for buffer in subscription.buffers:
                    buffer.note_dropped(dropped)
        if not frame.is_too_large:
            for buffer in self._readers(frame.name):
                buffer.put(frame)

    def _readers(self, name: str) -> Iterator[EventBuffer]:
        """Those who wait for a name: by itself, by the patterns above it, and by `*`."""
        patterns = [name]
        above = name
        while "." in above:
            above = above.rpartition(".")[0]
            patterns.append(above + ".*")
        patterns.append("*")
        for pattern in patterns:
            subscription = self._subscriptions.get(pattern)
            if subscription is not None:
                yield from subscription.buffers
