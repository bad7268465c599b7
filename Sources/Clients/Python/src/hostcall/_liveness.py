"""PING and PONG: for users, for leaving in order, and to know that the daemon lives. Loop thread only."""

import asyncio
from typing import TYPE_CHECKING, Callable, Optional

from ._errors import HostcallError
from ._link import Link
from ._requests import OutgoingRequest
from ._wire import Frame, Kind, ProtocolViolation

if TYPE_CHECKING:
    from ._connection import Connection


class Ping(OutgoingRequest):
    """A PING that somebody waits for: whatever ends requests when the connection is lost ends it too."""

    def __init__(self, answered: Callable[[Optional[HostcallError]], None]) -> None:
        self._answered = answered

    def receive(self, frame: Frame, link: Link) -> None:
        raise ProtocolViolation(f"RESULT for the request {frame.id}, which is not outstanding")

    def fail(self, error: HostcallError) -> None:
        self._answered(error)


class Liveness:
    """Pings a daemon that is silent while something depends on it, and gives up one that does not answer."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._timer: Optional[asyncio.TimerHandle] = None

    def ping(self, link: Link, answered: Callable[[Optional[HostcallError]], None]) -> None:
        """Sends PING; `answered` is told of the answer, or of the error that came instead."""
        id = self._connection.next_request_id()
        link.requests[id] = Ping(answered)

        def pong() -> None:
            link.requests.pop(id, None)
            answered(None)

        self._send(link, id, pong)

    def ping_unheard(self, link: Link, answered: Callable[[], None]) -> None:
        """Sends PING that is nobody's request; the loss of the connection tells `answered` nothing."""
        self._send(link, self._connection.next_request_id(), answered)

    def _send(self, link: Link, id: int, answered: Callable[[], None]) -> None:
        link.pings[id] = answered
        link.send(Kind.PING, id)

    def watch(self, link: Link) -> None:
        """Looks after the link, three times within the limit: to see that it is silent, to ask, to give up."""
        limit = self._connection.limits.liveness_limit
        if limit is not None:
            self._timer = self._connection.loop.call_later(limit / 3, self._check, link, limit)

    def stop(self) -> None:
        """Looks after nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self, link: Link, limit: float) -> None:
        connection = self._connection
        if not link.was_heard and link.awaits_life:
            return connection.link_ended(link, f"the daemon has answered nothing for {limit:g} s")
        is_asked = not link.is_idle or bool(link.pings)
        is_serving = connection.serving.has_registrations or connection.subscriptions.has_subscriptions
        link.awaits_life = False
        if not link.was_heard and (is_asked or is_serving):
            link.awaits_life = True
            self.ping_unheard(link, lambda: None)
        link.was_heard = False
        self.watch(link)
