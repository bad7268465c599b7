"""Runs every behaviour in every language, and prints what came of it as a table."""

from __future__ import annotations

import time
from typing import Dict, List, Optional, Sequence, Tuple

from behaviour import Behaviour
from expectation import Failure
from scene import Language, Scene

PASSED, FAILED = "✓", "✗"


def reason_against(behaviour: Behaviour, language: Language, hostcalld: str) -> Optional[str]:
    """Why a behaviour is not there, None where it is."""
    try:
        with Scene(language, hostcalld) as scene:
            behaviour.prove(scene)
    except Failure as failure:
        return str(failure)
    except Exception as error:
        # What an agent reports may be anything, and must not end the run.
        return f"{type(error).__name__}: {error}"
    return None


def run(behaviours: Sequence[Behaviour], languages: Sequence[Language], hostcalld: str) -> bool:
    """Runs all, printing a line for each and the table at the end; says whether all passed."""
    reasons: Dict[Tuple[str, str], Optional[str]] = {}
    for language in languages:
        for behaviour in behaviours:
            start = time.monotonic()
            reason = reason_against(behaviour, language, hostcalld)
            reasons[behaviour.title, language.name] = reason
            mark = PASSED if reason is None else FAILED
            seconds = time.monotonic() - start
            print(f"{mark} {language.name}: {behaviour.title} ({seconds:.2f} s)", flush=True)
            if reason is not None:
                print(f"    {reason}", flush=True)
    print()
    print("\n".join(table(behaviours, languages, reasons)))
    failed = sum(reason is not None for reason in reasons.values())
    print()
    print(f"{len(reasons) - failed} passed, {failed} failed", flush=True)
    return failed == 0


def table(
    behaviours: Sequence[Behaviour], languages: Sequence[Language], reasons: Dict[Tuple[str, str], Optional[str]]
) -> List[str]:
    """Rows of Markdown: behaviours by language."""
    lines = [row(["group", "behaviour", *(language.name for language in languages)])]
    lines.append("|---|---|" + ":-:|" * len(languages))
    group = ""
    for behaviour in behaviours:
        marks = [PASSED if reasons[behaviour.title, language.name] is None else FAILED for language in languages]
        lines.append(row([behaviour.group if behaviour.group != group else "", behaviour.title, *marks]))
        group = behaviour.group
    return lines


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
