#!/usr/bin/env python3
"""The agent of the Python client: does with the library what it is told (Tests/Conformance/Agents.md)."""

import asyncio
import contextlib
import math
import os
import pathlib
import sys
import threading
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, List, Mapping, Optional

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "src"))

import hostcall  # noqa: E402


class NotUnderstood(Exception):
    """A command that is none."""


Fields = Dict[str, str]


def report(tag: str, what: str, **fields: object) -> None:
    """One line; what is None is left out."""
    words = [f"{key}={value}" for key, value in fields.items() if value is not None]
    sys.stdout.write(" ".join([tag, what, *words]) + "\n")
    sys.stdout.flush()


def metadata_text(metadata: Mapping[str, str]) -> Optional[str]:
    return ",".join(f"{key}:{value.encode().hex()}" for key, value in metadata.items()) or None


def report_error(tag: str, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        error = hostcall.Cancelled("its task was cancelled", status=hostcall.Status.CANCELLED)
    if not isinstance(error, hostcall.HostcallError):
        raise error
    if isinstance(error, hostcall.CannotConnect):
        code = "cannot-connect"
    elif isinstance(error, hostcall.ConnectionLost):
        code = "connection-lost"
    elif isinstance(error, hostcall.Closed):
        code = "closed"
    elif isinstance(error, hostcall.InvalidArgument) and error.status is None:
        code = "invalid-argument"
    else:
        code = "status"
    status = error.status
    report(
        tag, "error", status=None if status is None else str(int(status)) if status >= 128 else str(status),
        origin=error.origin, code=code, payload=error.payload.hex(), encoding=int(error.encoding),
        metadata=metadata_text(error.metadata), correlation=error.correlation_id, message=str(error).encode().hex(),
    )


def report_reply(tag: str, reply: hostcall.Reply) -> None:
    report(
        tag, "result", payload=reply.payload.hex(), encoding=int(reply.encoding),
        metadata=metadata_text(reply.metadata), correlation=reply.correlation_id,
    )


def payload_of(fields: Fields) -> bytes:
    return bytes.fromhex(fields.get("payload", ""))


def encoding_of(fields: Fields) -> Optional[int]:
    return int(fields["encoding"]) if "encoding" in fields else None


def metadata_of(fields: Fields) -> Dict[str, str]:
    pairs = (entry.partition(":") for entry in fields.get("metadata", "").split(",") if entry)
    return {key: bytes.fromhex(value).decode() for key, _, value in pairs}


def content(fields: Fields) -> Dict[str, Any]:
    return {"encoding": encoding_of(fields), "metadata": metadata_of(fields)}


class OwnCall:
    """A call that the agent makes."""

    def __init__(self) -> None:
        self.task: "Optional[asyncio.Task[None]]" = None
        self.stream: Optional[hostcall.Stream] = None
        self.arguments: "asyncio.Queue[Optional[Fields]]" = asyncio.Queue()
        self.taking = asyncio.Lock()

    async def argument_items(self, tag: str) -> AsyncIterator[hostcall.Item]:
        while True:
            fields = await self.arguments.get()
            if fields is None:
                return
            yield hostcall.Item(payload_of(fields), encoding=encoding_of(fields))
            # The library asks for the next one when this one has left.
            report(tag, "sent")


class Invocation:
    """A call that the agent answers."""

    def __init__(self, request: hostcall.Request) -> None:
        self.request = request
        self.is_told = asyncio.Event()
        self.end: Optional[Fields] = None
        self.taking = asyncio.Lock()
        self.has_reported_end = False


class Reader:
    """A subscription of the agent."""

    def __init__(self, events: hostcall.Events) -> None:
        self.events = events
        self.taking = asyncio.Lock()


class Agent:
    """Everything that has a tag."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._client: Optional[hostcall.Client] = None
        self._has_tried = asyncio.Event()
        self._calls: Dict[str, OwnCall] = {}
        self._registrations: Dict[str, hostcall.Registration] = {}
        self._invocations: Dict[str, Invocation] = {}
        self._readers: Dict[str, Reader] = {}
        self._tasks: "List[asyncio.Task[Any]]" = []
        self.mistake: "asyncio.Future[BaseException]" = asyncio.get_running_loop().create_future()

    @property
    def client(self) -> hostcall.Client:
        if self._client is None:
            raise NotUnderstood("connect comes first")
        return self._client

    def understand(self, line: str) -> None:
        """Begins what a line says; what it leads to is reported later."""
        words = line.split(" ")
        if len(words) < 2 or not all(words):
            raise NotUnderstood("a command is a tag, a word, and key=value")
        tag, what = words[0], words[1]
        fields: Fields = {}
        for word in words[2:]:
            key, equals, value = word.partition("=")
            if not equals:
                raise NotUnderstood(f"{word} is not key=value")
            fields[key] = value
        commands: Dict[str, Callable[[str, Fields], Optional[Awaitable[None]]]] = {
            "connect": self.connect, "ping": self.ping, "close": self.close, "shutdown": self.shutdown,
            "call": self.call, "take": self.take, "send": self.send, "end": self.end, "cancel": self.cancel,
            "register": self.register, "complete": self.complete, "raise": self.complete,
            "unregister": self.unregister, "subscribe": self.subscribe, "unsubscribe": self.unsubscribe,
            "publish": self.publish, "bench": self.bench,
        }
        if what not in commands:
            raise NotUnderstood(f"{what} is no command")
        if what == "raise":
            fields["raise"] = fields.get("message", "")
        work = commands[what](tag, fields)
        if work is not None:
            task: "asyncio.Task[Any]" = asyncio.ensure_future(self._reporting(tag, work, is_first=what == "connect"))
            self._tasks.append(task)
            if what == "call":
                self._calls[tag].task = task

    async def _reporting(self, tag: str, work: Awaitable[None], is_first: bool) -> None:
        try:
            if not is_first:
                await self._has_tried.wait()
            await work
        except (hostcall.HostcallError, asyncio.CancelledError) as error:
            report_error(tag, error)
        except Exception as error:
            if not self.mistake.done():
                self.mistake.set_result(error)

    # Connecting

    async def connect(self, tag: str, fields: Fields) -> None:
        try:
            self._client = await hostcall.connect(self._socket_path)
        finally:
            self._has_tried.set()
        report(tag, "done")

    async def ping(self, tag: str, fields: Fields) -> None:
        await self.client.ping()
        report(tag, "done")

    async def close(self, tag: str, fields: Fields) -> None:
        await self.client.close()
        report(tag, "done")

    async def shutdown(self, tag: str, fields: Fields) -> None:
        await self.client.shutdown()
        report(tag, "done")

    async def leave(self) -> None:
        if self._client is not None:
            await self._client.close()
        # Functions that nobody will tell to end any more.
        for invocation in self._invocations.values():
            invocation.is_told.set()

    # Calling

    def call(self, tag: str, fields: Fields) -> Awaitable[None]:
        self._calls[tag] = OwnCall()
        return self._call(tag, fields, self._calls[tag])

    async def _call(self, tag: str, fields: Fields, own: OwnCall) -> None:
        options: Dict[str, Any] = dict(
            content(fields), timeout=int(fields["timeout"]) / 1000 if "timeout" in fields else None,
            wait=fields.get("wait") == "yes", idempotent=fields.get("idempotent") == "yes",
        )
        if fields.get("arguments") == "yes":
            options["arguments"] = own.argument_items(tag)
        around = self._invocation(fields["inside"]).request.context if "inside" in fields else None
        with hostcall.inherit(around) if around else contextlib.nullcontext():
            if fields.get("no-reply") == "yes":
                await self.client.send(fields["name"], payload_of(fields), **options)
                return report(tag, "done")
            if "window" not in fields:
                return report_reply(tag, await self.client.call(fields["name"], payload_of(fields), **options))
            own.stream = self.client.stream(
                fields["name"], payload_of(fields), window=int(fields["window"]), **options
            )
        await own.stream.drained()
        async with own.taking:
            report_reply(tag, await own.stream.reply())

    def take(self, tag: str, fields: Fields) -> Awaitable[None]:
        count = int(fields["count"])
        if tag in self._invocations:
            return self._take_arguments(tag, count)
        if tag in self._readers:
            return self._take_events(tag, count)
        if tag in self._calls:
            return self._take_results(tag, count)
        raise NotUnderstood(f"there is nothing to take from {tag}")

    async def _take_results(self, tag: str, count: int) -> None:
        own = self._calls[tag]
        async with own.taking:
            for _ in range(count):
                if own.stream is None:
                    return
                try:
                    item = await own.stream.__anext__()
                except (StopAsyncIteration, hostcall.HostcallError):
                    # The call itself tells its outcome.
                    return
                report(tag, "item", payload=item.payload.hex(), encoding=int(item.encoding))

    def send(self, tag: str, fields: Fields) -> Optional[Awaitable[None]]:
        if tag in self._invocations:
            return self._send_result(tag, fields)
        self._own_call(tag).arguments.put_nowait(fields)
        return None

    def end(self, tag: str, fields: Fields) -> None:
        self._own_call(tag).arguments.put_nowait(None)

    def cancel(self, tag: str, fields: Fields) -> None:
        own = self._own_call(tag)
        if own.stream is not None:
            own.stream.close()
        elif own.task is not None:
            own.task.cancel()

    def _own_call(self, tag: str) -> OwnCall:
        if tag not in self._calls:
            raise NotUnderstood(f"{tag} is no call")
        return self._calls[tag]

    # Serving

    async def register(self, tag: str, fields: Fields) -> None:
        count = 0

        async def answer(request: hostcall.Request) -> hostcall.Reply:
            nonlocal count
            count += 1
            return await self._answer(f"{tag}.{count}", tag, request)

        self._registrations[tag] = await self.client.register(
            fields["name"], answer, concurrency=int(fields.get("concurrency", "0")),
            mode=fields.get("mode", "shared"), timeout=int(fields["timeout"]) / 1000 if "timeout" in fields else None,
            idempotent=fields.get("idempotent") == "yes", caller=fields.get("caller") == "yes",
        )
        report(tag, "done")

    async def _answer(self, tag: str, registration: str, request: hostcall.Request) -> hostcall.Reply:
        invocation = Invocation(request)
        self._invocations[tag] = invocation
        report(
            registration, "invoke", call=tag, name=request.function, payload=request.payload.hex(),
            encoding=int(request.encoding), metadata=metadata_text(request.metadata),
            left=math.ceil(request.time_left * 1000), correlation=request.correlation_id,
        )
        while not invocation.is_told.is_set():
            try:
                await invocation.is_told.wait()
            except asyncio.CancelledError:
                report(tag, "cancelled")
        # By then the library has what this function returns.
        asyncio.get_running_loop().call_soon(report, tag, "completed")
        fields = invocation.end or {}
        if "raise" in fields:
            raise RuntimeError(bytes.fromhex(fields["raise"]).decode())
        status = fields.get("status", "OK")
        number = int(status) if status.isdigit() else int(hostcall.Status[status])
        if number == 0:
            return hostcall.Reply(payload_of(fields), **content(fields))
        raise hostcall.Failure(number, payload_of(fields), **content(fields))

    def complete(self, tag: str, fields: Fields) -> None:
        invocation = self._invocation(tag)
        invocation.end = fields
        invocation.is_told.set()

    async def _take_arguments(self, tag: str, count: int) -> None:
        invocation = self._invocation(tag)
        async with invocation.taking:
            for _ in range(count):
                try:
                    item = await invocation.request.arguments.__anext__()
                except StopAsyncIteration:
                    break
                report(tag, "item", payload=item.payload.hex(), encoding=int(item.encoding))
        await invocation.request.arguments.drained()
        if not invocation.has_reported_end and not invocation.request.has_ended:
            invocation.has_reported_end = True
            report(tag, "items-end")

    async def _send_result(self, tag: str, fields: Fields) -> None:
        await self._invocation(tag).request.send(payload_of(fields), encoding=encoding_of(fields))
        report(tag, "sent")

    def _invocation(self, tag: str) -> Invocation:
        if tag not in self._invocations:
            raise NotUnderstood(f"{tag} is no invocation")
        return self._invocations[tag]

    async def unregister(self, tag: str, fields: Fields) -> None:
        await self._registrations[tag].unregister()
        report(tag, "done")

    # Events

    async def subscribe(self, tag: str, fields: Fields) -> None:
        events = await self.client.events(fields["name"])
        self._readers[tag] = Reader(events)
        report(tag, "done")
        if fields.get("held") != "yes":
            async for event in events:
                self._report_event(tag, event)

    async def _take_events(self, tag: str, count: int) -> None:
        reader = self._readers[tag]
        async with reader.taking:
            for _ in range(count):
                try:
                    self._report_event(tag, await reader.events.__anext__())
                except StopAsyncIteration:
                    return

    @staticmethod
    def _report_event(tag: str, event: hostcall.Event) -> None:
        report(
            tag, "event", name=event.name, payload=event.payload.hex(), encoding=int(event.encoding),
            metadata=metadata_text(event.metadata), dropped=event.dropped_before,
            gap="yes" if event.follows_gap else None,
        )

    async def unsubscribe(self, tag: str, fields: Fields) -> None:
        self._readers[tag].events.close()
        report(tag, "done")

    async def publish(self, tag: str, fields: Fields) -> None:
        confirm = fields.get("no-reply") != "yes"
        subscribers = await self.client.publish(
            fields["name"], payload_of(fields), confirm=confirm, **content(fields)
        )
        report(tag, "done", subscribers=subscribers if confirm else None)

    # Figures

    async def bench(self, tag: str, fields: Fields) -> None:
        name, payload = fields["name"], bytes(int(fields["size"]))
        calls, depth = int(fields["calls"]), int(fields["depth"])
        latencies: List[float] = []
        left = calls

        async def run() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                began = time.perf_counter()
                await self.client.call(name, payload)
                latencies.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(run() for _ in range(depth)))
        seconds = time.perf_counter() - began
        latencies.sort()

        def quantile(share: float) -> int:
            return round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e6)

        report(tag, "done", seconds=f"{seconds:.6f}", p50=quantile(0.5), p99=quantile(0.99))


async def main() -> int:
    if len(sys.argv) != 2:
        print("usage: agent.py SOCKET", file=sys.stderr)
        return 64
    loop = asyncio.get_running_loop()
    lines: "asyncio.Queue[Optional[str]]" = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    agent = Agent(sys.argv[1])
    while True:
        reading = asyncio.ensure_future(lines.get())
        waited: "List[asyncio.Future[Any]]" = [reading, agent.mistake]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        try:
            if agent.mistake.done():
                raise agent.mistake.result()
            line = reading.result()
            if line is None:
                break
            agent.understand(line)
        except (NotUnderstood, KeyError, ValueError) as error:
            print(f"agent: not understood: {error}", file=sys.stderr)
            return 64
    await agent.leave()
    return 0


if __name__ == "__main__":
    status = asyncio.run(main())
    sys.stdout.flush()
    # The thread that reads may wait for a line that never comes.
    os._exit(status)
