"""How fast calls are: each library's beside those of a load generator in C, through one daemon to one worker in C.

The generator and the worker are not part of this project: `load.c` and `worker.c` are looked for in the folder that
HOSTCALL_BENCH names, or in ../shared/bench beside the checkout. Every caller calls by name, one caller after another in
each of some rounds, and the medians are told.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from agent import Agent
from daemon import Daemon
from expectation import Deadline
from scene import Language
from table import row
from wire import ROOT

ROUNDS = 3
PAYLOAD_BYTES = 64
WARM_UP_CALLS = 1_000
CALLS_BY_DEPTH = {1: 5_000, 256: 50_000}
LIMIT_SECONDS = 600.0
FUNCTION = "bench.echo"
GENERATOR = "load generator in C"


class Figures(NamedTuple):
    calls_per_second: float
    median_microseconds: float


Measure = Callable[[int, int], Figures]
"""Makes so many calls, so many of them at a time."""


def build(name: str, folder: Path) -> Path:
    """Builds one of the programs in C."""
    bench = Path(os.environ.get("HOSTCALL_BENCH", ROOT.parent / "shared" / "bench"))
    source = bench / f"{name}.c"
    if not source.exists():
        sys.exit(f"conformance: there is no {source}: let HOSTCALL_BENCH name the folder with load.c and worker.c")
    program = folder / name
    subprocess.run(["cc", "-O2", "-o", str(program), str(source), "-lpthread", "-lm"], check=True)
    return program


def measure_generator(load: Path, path: str, depth: int, calls: int) -> Figures:
    command = [str(load), path, "--depth", str(depth), "--calls", str(calls), "--size", str(PAYLOAD_BYTES), "--by-name"]
    figures: Dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return Figures(figures["calls_per_s"], figures["p50"])


def measure_agent(agent: Agent, depth: int, calls: int) -> Figures:
    def bench(calls: int) -> Tuple[float, float]:
        report = agent.do("bench", name=FUNCTION, size=PAYLOAD_BYTES, calls=calls, depth=depth)
        return float(report.values["seconds"]), float(report.values["p50"])

    bench(WARM_UP_CALLS)
    seconds, median = bench(calls)
    return Figures(calls / seconds, median)


def run(languages: Sequence[Language], hostcalld: str) -> None:
    """Measures all, and prints a table."""
    with tempfile.TemporaryDirectory(prefix="hostcall-figures-") as name, ExitStack() as leaving:
        folder = Path(name)
        load, worker_program = build("load", folder), build("worker", folder)
        deadline = Deadline(LIMIT_SECONDS)
        daemon = Daemon(hostcalld, folder, deadline)
        leaving.callback(daemon.kill)
        daemon.start()
        worker = subprocess.Popen([str(worker_program), daemon.path], stdout=subprocess.PIPE)
        leaving.callback(worker.wait)
        leaving.callback(worker.kill)
        assert worker.stdout is not None
        # Its one line comes when it has registered.
        worker.stdout.readline()
        callers: Dict[str, Measure] = {GENERATOR: partial(measure_generator, load, daemon.path)}
        for number, language in enumerate(languages, 1):
            agent = Agent(language.command, daemon.path, folder, number, deadline)
            leaving.callback(agent.end)
            agent.do("connect")
            callers[language.name] = partial(measure_agent, agent)
        figures: Dict[Tuple[str, int], List[Figures]] = defaultdict(list)
        for round in range(1, ROUNDS + 1):
            for caller, measure in callers.items():
                for depth, calls in CALLS_BY_DEPTH.items():
                    one = measure(depth, calls)
                    figures[caller, depth].append(one)
                    print(
                        f"round {round}: {caller}, {depth} at a time: {one.calls_per_second:,.0f} calls/s, "
                        f"p50 {one.median_microseconds:.1f} µs", flush=True,
                    )
    print()
    print("\n".join(table(list(callers), figures)), flush=True)


def table(callers: Sequence[str], figures: Dict[Tuple[str, int], List[Figures]]) -> List[str]:
    """Rows of Markdown: callers by depth."""
    lines = [row(["caller", "calls/s, one at a time", "p50", "calls/s, 256 at a time"]), "|---|--:|--:|--:|"]
    for caller in callers:
        single, many = figures[caller, 1], figures[caller, 256]
        lines.append(
            row([
                caller,
                f"{statistics.median(one.calls_per_second for one in single):,.0f}",
                f"{statistics.median(one.median_microseconds for one in single):.1f} µs",
                f"{statistics.median(one.calls_per_second for one in many):,.0f}",
            ])
        )
    return lines
