"""A peer of the real daemon, frame by frame: the worker, caller or subscriber at the other side of an agent."""

from __future__ import annotations

import socket
from typing import Any, Optional

from expectation import Deadline, expect_equal
from framed_socket import FramedSocket
from wire import HELLO_ID, REQUEST_MARK, Direction, Frame, Kind, Status


class RawPeer(FramedSocket):
    """Connected and welcome. What `register` and the like do not do is done by frames."""

    def __init__(self, path: str, deadline: Deadline) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(deadline.left())
        connection.connect(path)
        super().__init__(connection, Direction.TO_PEER, "daemon", deadline)
        self._requests = 0
        greeting = {"client": "conformance/1", "features": "streams,events"}
        self.send(Kind.HELLO, id=HELLO_ID, function=1, aux=1, metadata=greeting)
        self.expect(Kind.WELCOME, status=Status.OK)

    def request(self, kind: int, **fields: Any) -> int:
        """Sends a request, and gives its id."""
        self._requests += 1
        id = REQUEST_MARK | self._requests
        self.send(kind, id=id, **fields)
        return id

    def answered(self, kind: int, **fields: Any) -> Frame:
        """Sends a request, and gives its RESULT, which has to be the next frame."""
        return self.expect(Kind.RESULT, id=self.request(kind, **fields))

    def register(self, name: str, **fields: Any) -> int:
        """Registers a function, and gives its handle."""
        result = self.answered(Kind.REGISTER, name=name, **fields)
        expect_equal(f"the status of registering {name}", Status(result.status), Status.OK)
        return result.aux

    def subscribe(self, name: str) -> None:
        result = self.answered(Kind.SUBSCRIBE, name=name)
        expect_equal(f"the status of subscribing to {name}", Status(result.status), Status.OK)

    def publish(self, name: str, payload: bytes = b"", **fields: Any) -> int:
        """Publishes an event, and gives the number of subscribers."""
        result = self.answered(Kind.PUBLISH, name=name, payload=payload, **fields)
        expect_equal(f"the status of publishing {name}", Status(result.status), Status.OK)
        return result.aux

    def call(self, name: str, payload: bytes = b"", **fields: Any) -> int:
        """Calls a function, and gives the id of the request."""
        return self.request(Kind.CALL, name=name, payload=payload, **fields)

    def expect_result(self, request: int, status: int = Status.OK, payload: Optional[bytes] = None) -> Frame:
        """The outcome of a call, which has to be the next frame."""
        result = self.expect(Kind.RESULT, id=request, status=status)
        if payload is not None:
            expect_equal("the result's payload", result.payload, payload)
        return result

    def complete(self, call: int, payload: bytes = b"", **fields: Any) -> None:
        self.send(Kind.COMPLETE, id=call, payload=payload, **fields)
