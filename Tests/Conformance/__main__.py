"""Proves that client libraries in different languages behave alike (Agents.md beside this says by what).

Usage: python3 Tests/Conformance [--only TEXT] [--list] [--figures] LANGUAGE=COMMAND…

`Scripts/conformance` builds everything and calls this; HOSTCALLD names the daemon. Each command starts the agent of a
language, the socket is added to it. The last line is `N passed, M failed`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import Dict, List, NoReturn

import behaviours  # noqa: F401 (each of its modules adds its behaviours)
import figures
import table
from behaviour import BEHAVIOURS
from scene import Language

RAISED_STATUSES: Dict[str, str] = {"swift": "FAILED", "python": "FAILED", "go": "PANIC", "c": "FAILED", "cpp": "PANIC"}
"""What a handler ends with that ends as they do in its language when something goes wrong: an error that is thrown or
returned is FAILED, what is caught at the boundary is PANIC."""

WRONG_ARGUMENTS = 64


def refuse(text: str) -> NoReturn:
    print(f"conformance: {text}", file=sys.stderr)
    sys.exit(WRONG_ARGUMENTS)


def parse_languages(arguments: List[str]) -> List[Language]:
    languages = []
    for argument in arguments:
        name, sign, command = argument.partition("=")
        if name not in RAISED_STATUSES or not sign or not command:
            refuse(f"“{argument}” is not LANGUAGE=COMMAND with one of {', '.join(RAISED_STATUSES)}")
        languages.append(Language(name, shlex.split(command), RAISED_STATUSES[name]))
    return languages


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 Tests/Conformance", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", metavar="TEXT", default="", help="behaviours whose group or title has this text")
    parser.add_argument("--list", action="store_true", help="tell which behaviours there are")
    parser.add_argument("--figures", action="store_true", help="measure calls instead")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE=COMMAND")
    arguments = parser.parse_args()
    chosen = [one for one in BEHAVIOURS if arguments.only in one.group or arguments.only in one.title]
    if arguments.list:
        for one in chosen:
            print(f"{one.group}: {one.title}")
        return 0
    languages = parse_languages(arguments.languages)
    hostcalld = os.environ.get("HOSTCALLD")
    if not hostcalld:
        refuse("set HOSTCALLD to the path of hostcalld")
    if not languages or not chosen:
        refuse("no language" if chosen else f"no behaviour with “{arguments.only}” (--list tells them)")
    if arguments.figures:
        figures.run(languages, hostcalld)
        return 0
    return 0 if table.run(chosen, languages, hostcalld) else 1


if __name__ == "__main__":
    sys.exit(main())
