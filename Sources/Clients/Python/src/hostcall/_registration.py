"""A host function of this program, across all connections of its client."""

import asyncio
import enum
from typing import TYPE_CHECKING, Optional

from ._errors import HostcallError, InvalidArgument, result_error
from ._handlers import Handler, HandlerKind, handler_kind
from ._link import Link
from ._requests import OutgoingRequest, pattern_name
from ._threads import HandlerThreads
from ._timeouts import Seconds, seconds, wire_milliseconds
from ._wire import Frame, Kind, ProtocolViolation, encode, encode_metadata

if TYPE_CHECKING:
    from ._serving import Serving

MODES = ("shared", "exclusive", "replace")
"""How a registration joins others of its name."""


class State(enum.Enum):
    """Where a registration or subscription is in its life."""

    NEW = 0
    """The daemon has not taken it yet, ever: a failure is the user's to hear. To ESTABLISHED, ENDED."""
    ESTABLISHED = 1
    """The daemon has taken it; it is made again on each new connection. To ENDED."""
    ENDED = 2
    """It was ended or refused. The end."""


class RegistrationRecord(OutgoingRequest):
    """A host function, from the first REGISTER to its end."""

    def __init__(
        self, serving: "Serving", name: str, handler: Handler, *, concurrency: int, mode: str,
        timeout: Optional[Seconds], idempotent: bool, caller: bool,
    ) -> None:
        self.name = name
        """The name or pattern."""
        self.handler = handler
        self.kind: HandlerKind = handler_kind(handler)
        self._serving = serving
        self._name_bytes = pattern_name(name)
        if isinstance(concurrency, bool) or not isinstance(concurrency, int):
            raise TypeError(f"a concurrency is a number of calls, and {concurrency!r} is not")
        if not 0 <= concurrency <= 0xFFFFFFFF:
            raise InvalidArgument(f"a concurrency of {concurrency} cannot be: 0 is the default", function=name)
        if mode not in MODES:
            raise InvalidArgument(f"the mode {mode!r} is none of {', '.join(MODES)}", function=name)
        longest = seconds(timeout, name)
        if longest is not None and longest <= 0:
            raise InvalidArgument(
                f"a longest run of {longest} s cannot be: leave it out for the daemon's maximum", function=name
            )
        self._concurrency = concurrency
        self._timeout_milliseconds = 0 if longest is None else wire_milliseconds(longest)
        options = {"mode": mode} if mode != "shared" else {}
        if idempotent:
            options["idempotent"] = "true"
        if caller:
            options["caller"] = "true"
        self._metadata = encode_metadata(options)
        self._threads: Optional[HandlerThreads] = None
        self.state = State.NEW
        self.handle = 0
        """What INVOKE carries on the present connection, 0 while the daemon has not answered there."""
        self.is_registering = False
        self.answered: "asyncio.Future[None]" = serving.connection.loop.create_future()
        """Done when the daemon has answered for the first time."""

    @property
    def is_pattern(self) -> bool:
        """Whether INVOKE has to bring the called name."""
        return self.name.endswith("*")

    def threads(self) -> HandlerThreads:
        """The threads that run its plain function, made at the first use."""
        if self._threads is None:
            most = self._concurrency or self._serving.connection.limits.threads_per_function
            self._threads = HandlerThreads(most, self.name)
            if self.state is State.ENDED:
                self._threads.close()
        return self._threads

    def end(self) -> None:
        """It is over; what runs goes on."""
        self.state = State.ENDED
        if self._threads is not None:
            self._threads.close()

    def transmit(self, link: Link) -> None:
        if self.state is State.ENDED:
            return
        id = self._serving.connection.next_request_id()
        self.is_registering = True
        link.requests[id] = self
        link.write(
            encode(
                Kind.REGISTER, id, timeout=self._timeout_milliseconds, aux=self._concurrency, name=self._name_bytes,
                metadata=self._metadata,
            )
        )

    def receive(self, frame: Frame, link: Link) -> None:
        self.is_registering = False
        if frame.status != 0:
            return self._serving.registering_failed(self, result_error(frame, self.name))
        handle = frame.aux
        if handle == 0 or handle in link.functions:
            raise ProtocolViolation(f"RESULT of REGISTER with the handle {handle}, which cannot be")
        link.functions[handle] = self
        if self.state is State.ENDED:
            # It was unregistered before the daemon had answered.
            Unregistering(self._serving, handle).transmit(link)
            return
        self.handle = handle
        self.state = State.ESTABLISHED
        self.answer(None)

    def fail(self, error: HostcallError) -> None:
        self.is_registering = False
        if self.state is State.NEW:
            self._serving.forget(self)
            self.answer(error._about(self.name))

    def answer(self, error: Optional[HostcallError]) -> None:
        """Tells whoever waits for the first answer, if anyone does."""
        if self.answered.done():
            return
        if error is None:
            self.answered.set_result(None)
        else:
            self.answered.set_exception(error)


class Registration:
    """A host function that a client has registered.

    Letting go of it changes nothing: the registration lasts until `unregister` or until the client closes.
    """

    def __init__(self, serving: "Serving", record: RegistrationRecord) -> None:
        self._serving = serving
        self._record = record

    @property
    def name(self) -> str:
        """The name or pattern."""
        return self._record.name

    async def unregister(self) -> None:
        """Ends the registration: when this returns no new call of it comes; those that run go on.

        Doing it twice, or without a connection, is fine.
        """
        await self._serving.unregister(self._record)

    def __repr__(self) -> str:
        return f"<Registration {self.name} {self._record.state.name.lower()}>"


class Unregistering(OutgoingRequest):
    """The end of a registration."""

    def __init__(self, serving: "Serving", handle: int) -> None:
        self._serving = serving
        self._handle = handle
        self.done: "asyncio.Future[None]" = serving.connection.loop.create_future()

    def transmit(self, link: Link) -> None:
        id = self._serving.connection.next_request_id()
        link.requests[id] = self
        link.write(encode(Kind.UNREGISTER, id, function=self._handle))

    def receive(self, frame: Frame, link: Link) -> None:
        link.functions.pop(self._handle, None)
        self._end()

    def fail(self, error: HostcallError) -> None:
        # What is gone with the connection need not be unregistered any more.
        self._end()

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
