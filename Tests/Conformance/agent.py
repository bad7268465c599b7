"""An agent: the process, what it is told, and what it reports (Agents.md)."""

from __future__ import annotations

import os
import select
import subprocess
import threading
from collections import defaultdict, deque
from pathlib import Path
from typing import Callable, Deque, Dict, List, NamedTuple, Optional, Sequence

from expectation import Deadline, Failure, expect_equal

OUTCOMES = ("result", "error", "done")
"""What ends a call; `done` is that of one without reply."""
DECODED_KEYS = ("payload", "encoding", "metadata", "correlation", "dropped", "message")
STDERR_CHARACTERS = 600
SHOWN_CHARACTERS = 80
LEAVE_SECONDS = 5.0
MEANWHILE_SECONDS = 0.005


class Report:
    """One line of an agent: a tag, a word that says what, and values by key."""

    def __init__(self, line: bytes) -> None:
        tag, word, *values = line.decode("ascii").split(" ")
        self.tag = tag
        self.word = word
        self.values = dict(value.split("=", 1) for value in values)

    def __str__(self) -> str:
        values = " ".join(f"{key}={shown_value(value)}" for key, value in self.values.items() if key != "message")
        text = f" ({self.message})" if "message" in self.values else ""
        return f"{self.tag} {self.word} {values}".rstrip() + text

    def text(self, key: str) -> Optional[str]:
        return self.values.get(key)

    def number(self, key: str) -> int:
        return int(self.values.get(key, "0"))

    @property
    def payload(self) -> bytes:
        return bytes.fromhex(self.values.get("payload", ""))

    @property
    def encoding(self) -> int:
        return self.number("encoding")

    @property
    def metadata(self) -> Dict[str, str]:
        entries = (entry.split(":", 1) for entry in self.values.get("metadata", "").split(",") if entry)
        return {key: bytes.fromhex(value).decode() for key, value in entries}

    @property
    def correlation(self) -> int:
        return self.number("correlation")

    @property
    def dropped(self) -> int:
        return self.number("dropped")

    @property
    def message(self) -> str:
        return bytes.fromhex(self.values.get("message", "")).decode()


def shown_value(value: str) -> str:
    return value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}…"


def _written(value: object) -> str:
    """A value as a command carries it."""
    if value is True:
        return "yes"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return ",".join(f"{key}:{text.encode().hex()}" for key, text in value.items())
    return str(value)


class Resources(NamedTuple):
    """What a process has of the system."""

    files: int
    threads: int


class Agent:
    """A running agent. Commands get tags of the driver's; reports wait by tag until they are expected."""

    def __init__(self, command: Sequence[str], path: str, folder: Path, number: int, deadline: Deadline) -> None:
        self._deadline = deadline
        self._stderr = folder / f"agent-{number}.stderr"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*command, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._input.fileno(), False)
        self._commands = 0
        self._calls: List[str] = []
        self._outcomes: Dict[str, int] = defaultdict(int)
        self._reports: Dict[str, Deque[Report]] = defaultdict(deque)
        self._changed = threading.Condition()
        self._has_ended = False
        self._was_killed = False
        self._nonsense: Optional[bytes] = None
        self.meanwhile: Optional[Callable[[], None]] = None
        """Done again and again while a report is waited for."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._output:
            try:
                report = Report(line.rstrip(b"\n"))
            except ValueError:
                with self._changed:
                    self._nonsense = self._nonsense or line
                continue
            with self._changed:
                self._reports[report.tag].append(report)
                if report.word in OUTCOMES:
                    self._outcomes[report.tag] += 1
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    # Telling

    def tell(self, word: str, tag: Optional[str] = None, /, **values: object) -> str:
        """Gives a command, and gives back its tag: a new one unless it is about something that was begun.

        Values that are nothing (`None`, `False`, no bytes, no metadata) are left out.
        """
        if tag is None:
            self._commands += 1
            tag = f"{word[0]}{self._commands}"
        if word == "call":
            self._calls.append(tag)
        words = [tag, word]
        words += [
            f"{key.replace('_', '-')}={_written(value)}"
            for key, value in values.items()
            if value is not None and value is not False and value != b"" and value != {}
        ]
        try:
            self._write((" ".join(words) + "\n").encode("ascii"))
        except OSError:
            raise self._death("it was told to " + word) from None
        return tag

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            _, writable, _ = select.select([], [self._input], [], self._deadline.left())
            if not writable:
                raise Failure(f"the agent does not read its input: {len(rest)} bytes could not be written")
            rest = rest[os.write(self._input.fileno(), rest):]

    def do(self, word: str, tag: Optional[str] = None, /, **values: object) -> Report:
        """Gives a command and waits until it is done."""
        return self.expect(self.tell(word, tag, **values), "done")

    # Expecting

    def next(self, tag: str, what: str = "a report") -> Report:
        """The next report about a tag."""
        with self._changed:
            while not self._reports[tag]:
                if self._has_ended:
                    raise self._death(f"{what} about {tag} was expected")
                if not self._deadline.left():
                    raise self._deadline.missed(f"{what} about {tag} from the agent")
                self._changed.wait(self._deadline.left() if self.meanwhile is None else MEANWHILE_SECONDS)
                if self.meanwhile is not None:
                    self.meanwhile()
            return self._reports[tag].popleft()

    def expect(self, tag: str, word: str, /, **values: object) -> Report:
        """The next report about a tag, which has to be this one and to have these values."""
        report = self.next(tag, f"“{word}”")
        if report.word != word:
            raise Failure(f"expected “{tag} {word}” from the agent, came “{report}”")
        for key, expected in values.items():
            came = getattr(report, key) if key in DECODED_KEYS else report.text(key)
            expect_equal(f"{key} of “{report}”", came, expected)
        return report

    def expect_error(self, tag: str, status: Optional[str] = None, code: str = "status", **values: object) -> Report:
        """The error that something has to end with; its text has to be one for people."""
        if status is not None:
            values["status"] = status
        report = self.expect(tag, "error", code=code, **values)
        if not report.message.strip():
            raise Failure(f"expected a message for people in “{report}”")
        return report

    def pending(self, tag: str) -> List[Report]:
        """What was reported about a tag and not expected yet."""
        with self._changed:
            return list(self._reports[tag])

    def resources(self) -> Resources:
        """What the process has of the system now."""
        process = Path(f"/proc/{self._process.pid}")
        return Resources(len(os.listdir(process / "fd")), len(os.listdir(process / "task")))

    def peak_memory_bytes(self) -> int:
        """The most memory that the process has had so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    # Ending

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        self._was_killed = True
        self._process.kill()
        self._process.wait()

    def finish(self) -> None:
        """Ends the agent's input: it has to leave in good order, and no call may have ended twice."""
        if self._was_killed:
            return
        self._input.close()
        try:
            status = self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(
                f"expected the agent to leave at the end of its input, and it goes on after {LEAVE_SECONDS:g} s"
            ) from None
        self._reader.join()
        if status:
            raise Failure(f"the agent ended with status {status}{self._last_words()}")
        if self._nonsense is not None:
            raise Failure(f"the agent has written a line that is no report: {self._nonsense[:200]!r}")
        for call in self._calls:
            if self._outcomes[call] > 1:
                raise Failure(f"the call {call} has ended {self._outcomes[call]} times")

    def end(self) -> None:
        """Ends the process, however it is."""
        if self._process.poll() is None:
            self.kill()
        self._reader.join()
        self._input.close()
        self._output.close()

    def _death(self, what: str) -> Failure:
        try:
            status = self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            return Failure(f"{what}, and the agent reads or writes no more{self._last_words()}")
        return Failure(f"{what}, and the agent has ended with status {status}{self._last_words()}")

    def _last_words(self) -> str:
        text = self._stderr.read_text(errors="replace").strip()
        return f": {text[-STDERR_CHARACTERS:]}" if text else ""
