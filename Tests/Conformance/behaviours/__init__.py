"""One module for each group of behaviours; importing them makes the list of all, in the order of the table."""

from . import (  # noqa: F401
    frames_from_the_daemon, frames_to_the_daemon, refusals, calls, ends_of_calls, serving, registering, large_payloads,
    streams, events, connection, leaving,
)
