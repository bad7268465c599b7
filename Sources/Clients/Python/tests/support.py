"""What tests share: a fake daemon that they play frame by frame, and real ones."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Any, Awaitable, Callable, Coroutine, Iterator, List, Mapping, Optional, TypeVar

import hostcall
from hostcall._wire import Decoder, Direction, Frame, Kind, Status, encode_frame

_Value = TypeVar("_Value")

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
"""The folder of the Python client."""

GENEROUS = 20.0
"""Seconds after which a test gives up on something that should come at once."""


async def soon(work: Awaitable[_Value]) -> _Value:
    """Waits for something that has to come."""
    return await asyncio.wait_for(work, GENEROUS)


async def until(condition: Callable[[], bool]) -> None:
    """Looks again and again until something holds that no event tells of."""
    end = time.monotonic() + GENEROUS
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it has not come about")
        await asyncio.sleep(0.002)


class FakePeer:
    """One connection of a client, as its daemon sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = Decoder(Direction.TO_DAEMON, 1 << 30)

    async def next(self, *kinds: Kind) -> Frame:
        """The next frame, which has to be of one of these kinds if any are named."""
        while True:
            frame = self._decoder.next_frame()
            if frame is not None:
                if kinds and frame.kind not in kinds:
                    raise AssertionError(f"{Kind(frame.kind).name} has come, not {kinds}: {frame}")
                return frame
            data = await soon(self._reader.read(1 << 16))
            if not data:
                raise EOFError("the client has closed the connection")
            self._decoder.feed(data)

    async def ended(self) -> None:
        """The client closes the connection, after frames that are passed over."""
        with contextlib.suppress(ConnectionError):
            while await soon(self._reader.read(1 << 16)):
                pass

    async def ends_with_goaway(self) -> str:
        """The client says GOAWAY PROTOCOL and closes; gives back the reason."""
        while True:
            frame = await self.next()
            if frame.kind == Kind.GOAWAY:
                break
        assert frame.status == Status.PROTOCOL
        await self.ended()
        return frame.payload.decode()

    def send(self, kind: Kind, id: int = 0, **fields: Any) -> None:
        self.writer.write(encode_frame(Frame(kind, id, **fields)))

    def result(self, request: Frame, status: int = 0, *, call: int = 7, **fields: Any) -> None:
        """RESULT for a request."""
        self.send(
            Kind.RESULT, request.id, status=status, function=call & 0xFFFFFFFF, timeout=call >> 32, **fields
        )

    async def welcome(self, *, max_frame: int = 1 << 20, features: str = "streams,events") -> Frame:
        hello = await self.next(Kind.HELLO)
        self.send(
            Kind.WELCOME, 5, function=1, aux=100,
            metadata={
                "server": "fake/1", "instance": "0" * 32, "features": features, "max-frame": str(max_frame)
            },
        )
        return hello

    async def register(self, handle: int = 1) -> Frame:
        """Takes a REGISTER."""
        request = await self.next(Kind.REGISTER)
        self.result(request, call=0, aux=handle)
        return request

    def close(self) -> None:
        self.writer.close()


class FakeDaemon:
    """Listens on a socket of its own; connections are played by the test."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="hostcall-python-")
        self.path = os.path.join(self.folder, "fake.sock")
        self._peers: "asyncio.Queue[FakePeer]" = asyncio.Queue()
        self._all: List[FakePeer] = []
        self._server: Optional[asyncio.AbstractServer] = None

    async def start(self) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = FakePeer(reader, writer)
            self._all.append(peer)
            self._peers.put_nowait(peer)

        self._server = await asyncio.start_unix_server(accept, self.path)

    async def accept(self) -> FakePeer:
        return await soon(self._peers.get())

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for peer in self._all:
            peer.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class FakeDaemonTestCase(unittest.IsolatedAsyncioTestCase):
    """Tests of a client against a daemon that the test plays."""

    async def asyncSetUp(self) -> None:
        self.daemon = FakeDaemon()
        await self.daemon.start()
        self.addAsyncCleanup(self.daemon.stop)
        self._tasks: "List[asyncio.Task[Any]]" = []

    def begin(self, work: "Coroutine[Any, Any, _Value]") -> "asyncio.Task[_Value]":
        """Has something go on beside the test."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def connected(
        self, *, limits: hostcall.Limits = hostcall.Limits(),
        reconnect: Optional[hostcall.Reconnect] = hostcall.Reconnect(), **welcome: Any,
    ) -> "tuple[hostcall.Client, FakePeer]":
        """A client and its connection."""
        connecting = self.begin(self._connect(limits, reconnect))
        peer = await self.daemon.accept()
        await peer.welcome(**welcome)
        client = await soon(connecting)
        self.addAsyncCleanup(client.close)
        return client, peer

    async def _connect(self, limits: hostcall.Limits, reconnect: Optional[hostcall.Reconnect]) -> hostcall.Client:
        return await hostcall.connect(self.daemon.path, limits=limits, reconnect=reconnect)

    async def asyncTearDown(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class RealDaemon:
    """A hostcalld of the test's own, in a folder of its own."""

    def __init__(self, configuration: str = "") -> None:
        program = os.environ.get("HOSTCALLD")
        if not program:
            raise AssertionError("set HOSTCALLD to the path of a hostcalld to test with")
        self.folder = tempfile.mkdtemp(prefix="hostcall-python-")
        self.path = os.path.join(self.folder, "hostcall.sock")
        self._command = [program, "--socket", self.path]
        if configuration:
            file = os.path.join(self.folder, "hostcalld.toml")
            pathlib.Path(file).write_text(configuration, encoding="utf-8")
            self._command += ["--config", file]
        self.process: "Optional[subprocess.Popen[bytes]]" = None

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + GENEROUS
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
                if attempt.connect_ex(self.path) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self._command[0]} has not started")
            time.sleep(0.005)

    def kill(self) -> None:
        """Ends it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class RealDaemonTestCase(unittest.IsolatedAsyncioTestCase):
    """Tests against a real daemon, one for each test."""

    configuration = ""

    async def asyncSetUp(self) -> None:
        self.daemon = RealDaemon(self.configuration)
        self.addCleanup(self.daemon.stop)
        self.daemon.start()

    async def client(self, **options: Any) -> hostcall.Client:
        client = await soon(hostcall.connect(self.daemon.path, **options)._connect())
        self.addAsyncCleanup(client.close)
        return client


@contextlib.contextmanager
def program(source: str, *arguments: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """A Python program that imports this package."""
    variables: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(PACKAGE / "src"), **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", source, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=dict(variables),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()

