"""The real daemon: a process that is started, stopped, killed, and started again at the same socket."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path
from typing import Optional

from expectation import Deadline, Failure, expect_equal

LOG_LINES = 10


class Daemon:
    """One daemon at one socket. `start` returns when it takes connections."""

    def __init__(self, program: str, folder: Path, deadline: Deadline, settings: str = "") -> None:
        self.path = str(folder / "hostcall.sock")
        self._log = folder / "hostcalld.log"
        self._deadline = deadline
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._command = [program, "--socket", self.path]
        if settings:
            file = folder / "hostcalld.toml"
            file.write_text(settings)
            self._command += ["--config", str(file)]

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._deadline.poll("the daemon to take connections", self._takes_connections)

    def _takes_connections(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise Failure(f"the daemon has ended with status {self._process.returncode}: {self.log_tail()}")
        with socket.socket(socket.AF_UNIX) as attempt:
            return attempt.connect_ex(self.path) == 0

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def begin_stop(self) -> None:
        """Asks it to leave in good order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def finish_stop(self) -> None:
        """Waits until it has left."""
        assert self._process is not None
        try:
            status = self._process.wait(self._deadline.left())
        except subprocess.TimeoutExpired:
            raise self._deadline.missed("the daemon to leave") from None
        self._process = None
        expect_equal("the daemon's exit status", status, 0)

    def log_tail(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])
