"""Where a client stands with its daemon."""

import enum


class Phase(enum.Enum):
    """The states of a connection, and where each can go."""

    IDLE = 0
    """There is no connection and nobody wants one. To CONNECTING with the next request; to CLOSED."""
    CONNECTING = 1
    """A connection is being made, or HELLO has gone and WELCOME has not come. To READY; when that fails to IDLE,
    BACKING_OFF or CLOSED."""
    READY = 2
    """WELCOME has come. To LEAVING, SHUTTING_DOWN; when the connection is lost to IDLE, BACKING_OFF, CLOSED."""
    LEAVING = 3
    """The daemon said GOAWAY: what runs goes on, new requests fail. To SHUTTING_DOWN; when the connection ends to IDLE,
    BACKING_OFF or CLOSED."""
    SHUTTING_DOWN = 4
    """This client said GOAWAY: what runs goes on, calls of handlers too. To CLOSED."""
    BACKING_OFF = 5
    """The connection was lost, and a timer runs until the next attempt. To CONNECTING, CLOSED."""
    CLOSED = 6
    """The end."""
