"""The daemon's side of a conversation with an agent, played by hand: what no real daemon would say can be said too."""

from __future__ import annotations

import os
import socket
from typing import Any

from expectation import Deadline
from framed_socket import FramedSocket
from wire import HELLO_ID, Direction, Frame, Kind, Status

LARGEST_FRAME_BYTES = 16 << 20


class FakeDaemon:
    """Listens; each connection of an agent is a `Link`."""

    def __init__(self, path: str, deadline: Deadline) -> None:
        self._deadline = deadline
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)

    def accept(self) -> "Link":
        """The next connection, before its first frame."""
        self._listener.settimeout(self._deadline.left() or 0.001)
        try:
            connection, _ = self._listener.accept()
        except socket.timeout:
            raise self._deadline.missed("a connection of the agent") from None
        return Link(connection, self._deadline)

    def close(self) -> None:
        path = self._listener.getsockname()
        self._listener.close()
        os.unlink(path)


class Link(FramedSocket):
    """One connection of an agent, as its daemon sees it."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        super().__init__(connection, Direction.TO_DAEMON, "agent", deadline)

    def greet(self, largest_frame_bytes: int = LARGEST_FRAME_BYTES) -> Frame:
        """Takes HELLO and says WELCOME; gives the HELLO."""
        hello = self.expect(Kind.HELLO, id=HELLO_ID)
        self.send(
            Kind.WELCOME, id=7, function=1, aux=4096,
            metadata={
                "server": "conformance/1", "instance": "0" * 32, "features": "streams,events",
                "max-frame": str(largest_frame_bytes),
            },
        )
        return hello

    def answer(self, kind: Kind, aux: int = 0, status: int = Status.OK, **fields: Any) -> Frame:
        """Takes a request of this kind and with these fields and answers it by RESULT; gives the request."""
        request = self.expect(kind, **fields)
        self.send(Kind.RESULT, id=request.id, aux=aux, status=status)
        return request
