"""The behaviours: what is proved, by its title, and the function that proves it."""

from __future__ import annotations

from typing import Callable, List, NamedTuple

from scene import Scene

Proof = Callable[[Scene], None]


class Behaviour(NamedTuple):
    group: str
    title: str
    prove: Proof


BEHAVIOURS: List[Behaviour] = []
"""All of them, in the order of the table."""


def behaviour(title: str) -> Callable[[Proof], Proof]:
    """Makes a behaviour of a function; the group is the module that it is in."""

    def add(prove: Proof) -> Proof:
        group = prove.__module__.rsplit(".", 1)[-1].replace("_", " ")
        BEHAVIOURS.append(Behaviour(group, title, prove))
        return prove

    return add
