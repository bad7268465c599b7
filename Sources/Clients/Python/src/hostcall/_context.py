"""What a call made inside a handler inherits from the call that the handler answers."""

import contextlib
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Iterator, Optional


@dataclass(frozen=True)
class Context:
    """What calls inherit: no more time than is left, and the trace (`traceparent`, `tracestate` of W3C Trace Context).

    Handlers have that of their call already, async ones and those in threads. Threads that a handler starts by itself
    do not: they use `with hostcall.inherit(request.context)`. The same begins a trace, with a Context of one's own.
    """

    correlation_id: Optional[int] = None
    """The call that is being answered, None outside of one."""
    deadline: Optional[float] = None
    """When it ends by itself, on the clock of `time.monotonic()`, in seconds."""
    trace_parent: Optional[str] = None
    """Its `traceparent`."""
    trace_state: Optional[str] = None
    """Its `tracestate`."""

    @property
    def time_left(self) -> Optional[float]:
        """Seconds until the deadline, 0 once it has passed; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


current: "ContextVar[Optional[Context]]" = ContextVar("hostcall_context", default=None)


def current_context() -> Optional[Context]:
    """The context of the current task or handler thread, None outside of a handler."""
    return current.get()


@contextlib.contextmanager
def inherit(context: Optional[Context]) -> Iterator[None]:
    """Calls made inside the `with` inherit from this context; from none where it is None."""
    token = current.set(context)
    try:
        yield
    finally:
        current.reset(token)
