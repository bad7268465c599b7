"""Hostcall: call functions that live in other processes, by name, over a Unix socket.

Calling::

    async with hostcall.connect() as client:
        reply = await client.call("token.fetch", "alice", timeout=1.0)
        print(reply.text)

Serving::

    worker = hostcall.Worker()

    @worker.function("token.fetch", concurrency=8)
    async def fetch(request: hostcall.Request) -> str:
        return f"token of {request.text}"

    worker.run()

Programs without asyncio use `hostcall.sync`.
"""

from . import sync
from ._client import Client, connect
from ._context import Context, current_context, inherit
from ._errors import (
    AlreadyRegistered, ApplicationError, BufferTooSmall, CallEnded, CallerLost, CallTimeout, Cancelled, CannotConnect,
    Closed, ConnectionLost, Denied, Failed, HostcallError, InvalidArgument, InvalidUTF8, NotFound, NullPointer,
    Overloaded, Panicked, ProtocolBroken, SerializationFailed, ShuttingDown, TooLarge, Unavailable, UnknownError,
    VersionMismatch, WorkerLost,
)
from ._events import Event, Events
from ._limits import Limits, Reconnect
from ._link import ServerInformation
from ._payload import JSON, Failure, Item, Payload, Reply, Result
from ._registration import Registration
from ._request import BlockingRequest, Caller, Request
from ._stream import Stream
from ._version import __version__
from ._wire import Encoding, Status
from ._worker import Worker

__all__ = [
    "JSON", "AlreadyRegistered", "ApplicationError", "BlockingRequest", "BufferTooSmall", "CallEnded", "CallTimeout",
    "Caller", "CallerLost", "Cancelled", "CannotConnect", "Client", "Closed", "ConnectionLost", "Context", "Denied",
    "Encoding", "Event", "Events", "Failed", "Failure", "HostcallError", "InvalidArgument", "InvalidUTF8", "Item",
    "Limits", "NotFound", "NullPointer", "Overloaded", "Panicked", "Payload", "ProtocolBroken", "Reconnect",
    "Registration", "Reply", "Request", "Result", "SerializationFailed", "ServerInformation", "ShuttingDown", "Status",
    "Stream", "TooLarge", "Unavailable", "UnknownError", "VersionMismatch", "Worker", "WorkerLost", "__version__",
    "connect", "current_context", "inherit", "sync",
]

# What a program sees in tracebacks and documentation is where it gets these things from.
for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__
