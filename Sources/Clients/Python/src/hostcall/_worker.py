"""A program that serves host functions until it is told to leave."""

import asyncio
import signal
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from ._client import Client, connect
from ._errors import CannotConnect, Closed, ConnectionLost
from ._handlers import Handler, handler_kind
from ._limits import Limits, Reconnect
from ._requests import pattern_name
from ._socket import SocketPath
from ._timeouts import Seconds

_AnyHandler = TypeVar("_AnyHandler", bound=Handler)


class Worker:
    """Host functions, and the program that serves them::

        worker = hostcall.Worker()

        @worker.function("token.fetch", concurrency=8)
        async def fetch(request):
            return await look_up(request.text)

        worker.run()

    Parameters are those of `hostcall.connect`.
    """

    def __init__(
        self, socket_path: Optional[SocketPath] = None, *, client_name: Optional[str] = None,
        limits: Limits = Limits(), reconnect: Optional[Reconnect] = Reconnect(),
    ) -> None:
        self._connecting = (socket_path, client_name, limits, reconnect)
        self._functions: List[Tuple[str, Handler, Dict[str, Any]]] = []
        self._client: Optional[Client] = None
        self._is_told_to_leave = False

    def function(
        self, name: str, *, concurrency: int = 0, mode: str = "shared", timeout: Optional[Seconds] = None,
        idempotent: bool = False, caller: bool = False,
    ) -> Callable[[_AnyHandler], _AnyHandler]:
        """Makes a host function of an async function, a plain one, or a generator of either sort.

        Parameters are those of `Client.register`; the function stays what it is and can be called directly.
        """
        pattern_name(name)

        def add(handler: _AnyHandler) -> _AnyHandler:
            handler_kind(handler)
            options = {
                "concurrency": concurrency, "mode": mode, "timeout": timeout, "idempotent": idempotent,
                "caller": caller,
            }
            self._functions.append((name, handler, options))
            return handler

        return add

    @property
    def client(self) -> Client:
        """The client that serves, for calls and events of the worker's own. Raises RuntimeError before it connects."""
        if self._client is None:
            raise RuntimeError("the worker is not connected yet")
        return self._client

    async def serve(self, *, on_ready: Optional[Callable[[], None]] = None) -> None:
        """Connects, registers everything, and serves until `shutdown` or `close`, or until the task is cancelled.

        `on_ready` is called once calls can come, unless the worker is told to leave before. Raises CannotConnect where
        the daemon is not there at first (later losses are mended), and what registering raises.
        """
        if not self._functions:
            raise RuntimeError("there is nothing to serve: give the worker functions by @worker.function(name)")
        try:
            await self._serve(on_ready)
        except (CannotConnect, Closed, ConnectionLost):
            # What is about to be left may be gone before.
            if not self._is_told_to_leave:
                raise

    async def _serve(self, on_ready: Optional[Callable[[], None]]) -> None:
        path, client_name, limits, reconnect = self._connecting
        async with connect(path, client_name=client_name, limits=limits, reconnect=reconnect) as client:
            self._client = client
            if self._is_told_to_leave:
                return
            try:
                for name, handler, options in self._functions:
                    await client.register(name, handler, **options)
            except Closed:
                # Calls of what was registered before are still finished.
                if not self._is_told_to_leave:
                    raise
            if on_ready is not None and not self._is_told_to_leave:
                on_ready()
            reason = await client.wait_closed()
        if reason is not None:
            raise reason

    async def shutdown(self) -> None:
        """Leaves in good order: takes no more calls, finishes those it has, and closes."""
        self._is_told_to_leave = True
        if self._client is not None:
            await self._client.shutdown()

    async def close(self) -> None:
        """Closes at once: what runs is cancelled."""
        self._is_told_to_leave = True
        if self._client is not None:
            await self._client.close()

    def run(self, *, on_ready: Optional[Callable[[], None]] = None) -> None:
        """Serves until SIGTERM or SIGINT, then leaves in good order and returns; a second signal does not wait.

        For the main thread of a program without a loop; `serve` is for one that has its own.
        """
        asyncio.run(self._run(on_ready))

    async def _run(self, on_ready: Optional[Callable[[], None]]) -> None:
        loop = asyncio.get_running_loop()
        serving = loop.create_task(self.serve(on_ready=on_ready))
        leaving: "List[asyncio.Task[None]]" = []

        def leave() -> None:
            if leaving:
                serving.cancel()
            else:
                leaving.append(loop.create_task(self.shutdown()))

        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, leave)
        try:
            await serving
        except asyncio.CancelledError:
            if not leaving:
                raise
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
