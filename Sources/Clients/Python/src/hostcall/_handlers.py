"""How the functions that users register are run: async ones as tasks, plain ones in threads."""

import asyncio
import contextvars
import enum
import inspect
import logging
from typing import Any, AsyncIterator, Awaitable, Callable, Iterator, Mapping, NamedTuple, Union

from ._background import ends_loop
from ._context import current
from ._payload import Failure, Payload, Reply, Result, wire_payload
from ._request import AnyRequest, BlockingRequest, Request
from ._wire import ASSIGNED_STATUSES, COMPLETION_STATUSES, NO_METADATA, RESERVED_KEY_PREFIX, Status, encode_metadata

logger = logging.getLogger("hostcall")

AsyncHandler = Union[Callable[[Request], Awaitable[Result]], Callable[[Request], AsyncIterator[Payload]]]
"""An async function, or an async generator, whose items are the results of a stream."""
PlainHandler = Union[Callable[[BlockingRequest], Result], Callable[[BlockingRequest], Iterator[Payload]]]
"""A plain function, run in a thread, or a generator: its items are those of a stream, its return value the result."""
Handler = Union[AsyncHandler, PlainHandler]
"""What answers calls."""


class HandlerKind(enum.Enum):
    """What a handler is."""

    COROUTINE = 1
    ASYNC_GENERATOR = 2
    PLAIN = 3
    GENERATOR = 4

    @property
    def runs_in_thread(self) -> bool:
        """Whether it would hold up the loop."""
        return self in (HandlerKind.PLAIN, HandlerKind.GENERATOR)


def handler_kind(handler: object) -> HandlerKind:
    """What the handler is. Raises TypeError where it cannot be called."""
    if not callable(handler):
        raise TypeError(f"a handler is a function of one request, and {handler!r} cannot be called")
    for candidate in (handler, getattr(handler, "__call__", None)):
        if inspect.iscoroutinefunction(candidate):
            return HandlerKind.COROUTINE
        if inspect.isasyncgenfunction(candidate):
            return HandlerKind.ASYNC_GENERATOR
        if inspect.isgeneratorfunction(candidate):
            return HandlerKind.GENERATOR
    return HandlerKind.PLAIN


class Completion(NamedTuple):
    """What ends a call, in the form in which it may be sent."""

    status: int
    encoding: int = 0
    metadata: bytes = b""
    payload: bytes = b""


CANCELLED = Completion(Status.CANCELLED)
"""What answers a call that has ended: whatever its handler came to reaches nobody."""


def completion_of_result(result: Result) -> Completion:
    """What a handler's result comes to."""
    if result is None:
        return Completion(0)
    try:
        payload, encoding = wire_payload(result)
        if isinstance(result, Reply) and result.metadata:
            return _completion(0, encoding, result.metadata, payload)
        return _completion(0, encoding, NO_METADATA, payload)
    except (TypeError, ValueError) as error:
        return _refused(str(error))


def completion_of_error(error: BaseException, request: AnyRequest) -> Completion:
    """What an exception of a handler comes to.

    One that is no Failure is logged with its traceback, unless it is how the handler heard of the end of its call.
    """
    if isinstance(error, Failure):
        status = int(error.status)
        is_allowed = status in COMPLETION_STATUSES and status in ASSIGNED_STATUSES and status != Status.OK
        try:
            return _completion(
                status if is_allowed else int(Status.FAILED), error.encoding, error.metadata, error.payload
            )
        except (TypeError, ValueError) as mistake:
            return _refused(str(mistake))
    if isinstance(error, asyncio.CancelledError) or request._running.is_end_of_call(error):
        return CANCELLED
    logger.error("%s failed (call %d)", request.function, request.correlation_id, exc_info=error)
    text = str(error) or type(error).__name__
    return Completion(Status.FAILED, payload=text.encode(errors="replace"))


def _completion(status: int, encoding: int, metadata: Mapping[str, str], payload: bytes) -> Completion:
    if len(payload) > 0xFFFF0000:
        return _refused(f"it has {len(payload)} bytes, more than any frame")
    if not metadata:
        return Completion(status, encoding, b"", payload)
    # What came from the daemon and is sent on is not to be refused for what the daemon has added.
    own = {key: value for key, value in metadata.items() if not key.startswith(RESERVED_KEY_PREFIX)}
    return Completion(status, encoding, encode_metadata(own), payload)


def _refused(reason: str) -> Completion:
    text = f"the handler's reply cannot be sent: {reason}"
    return Completion(Status.FAILED, payload=text.encode(errors="replace"))


async def run_async(handler: Callable[[Request], Any], kind: HandlerKind, request: Request) -> Completion:
    """Runs an async handler in the current task, with the context that calls inside inherit."""
    current.set(request.context)
    try:
        if kind is HandlerKind.COROUTINE:
            result = await handler(request)
        else:
            result = None
            await _send_all(handler(request), request)
    except BaseException as error:
        if ends_loop(error):
            raise
        return completion_of_error(error, request)
    return completion_of_result(result)


async def _send_all(items: Any, request: Request) -> None:
    try:
        async for item in items:
            await request.send(item)
    finally:
        await items.aclose()


def run_plain(handler: Callable[[BlockingRequest], Any], kind: HandlerKind, request: BlockingRequest) -> Completion:
    """Runs a plain handler in this thread, with the context that calls inside inherit."""
    return contextvars.Context().run(_run_plain, handler, kind, request)


def _run_plain(handler: Callable[[BlockingRequest], Any], kind: HandlerKind, request: BlockingRequest) -> Completion:
    current.set(request.context)
    try:
        result = handler(request)
        if kind is HandlerKind.GENERATOR:
            result = _send_each(result, request)
        elif inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError("a plain function has returned something to await: register it as async def")
    except BaseException as error:  # A thread has nobody else to tell of SystemExit.
        return completion_of_error(error, request)
    return completion_of_result(result)


def _send_each(items: Any, request: BlockingRequest) -> Any:
    try:
        while True:
            try:
                item = next(items)
            except StopIteration as end:
                return end.value
            request.send(item)
    finally:
        items.close()
