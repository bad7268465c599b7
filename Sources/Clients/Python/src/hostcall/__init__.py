"""Hostcall: call functions that live in other processes, by name, over a Unix socket."""

from ._version import __version__

__all__ = ["__version__"]
