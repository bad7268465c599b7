"""What one behaviour has around it: agents, raw peers and a daemon, real or fake, all of them gone at its end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import List, NamedTuple, Optional, Sequence, Tuple, Type

from agent import Agent
from daemon import Daemon
from expectation import Deadline, Failure
from fake_daemon import LARGEST_FRAME_BYTES, FakeDaemon, Link
from framed_socket import FramedSocket
from raw_peer import RawPeer

LIMIT_SECONDS = 20.0


class Language(NamedTuple):
    """A client library under test."""

    name: str
    command: Sequence[str]
    """Starts its agent, but for the socket."""
    raised_status: str
    """What a call ends with whose handler ends as handlers do there when something goes wrong."""


class Scene:
    """A folder of its own with a socket, and whoever is asked for.

    Leaving it ends everybody; where all went well, agents have to leave in good order.
    """

    def __init__(self, language: Language, hostcalld: str) -> None:
        self.language = language
        self.deadline = Deadline(LIMIT_SECONDS)
        self._hostcalld = hostcalld
        self._folder = Path(tempfile.mkdtemp(prefix="hostcall-conformance-"))
        self._agents: List[Agent] = []
        self._sockets: List[FramedSocket] = []
        self._fake: Optional[FakeDaemon] = None
        self._daemon: Optional[Daemon] = None

    def __enter__(self) -> "Scene":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        try:
            if error is None:
                for agent in self._agents:
                    agent.finish()
        finally:
            for agent in self._agents:
                agent.end()
            for connection in self._sockets:
                connection.close()
            if self._fake is not None:
                self._fake.close()
            if self._daemon is not None:
                self._daemon.kill()
            shutil.rmtree(self._folder)

    @property
    def path(self) -> str:
        """The socket that agents are given."""
        return str(self._folder / "hostcall.sock")

    # Beside a real daemon

    def daemon(self, settings: str = "") -> Daemon:
        """The running daemon; started where it is not there, with lines of configuration."""
        if self._daemon is None:
            self._daemon = Daemon(self._hostcalld, self._folder, self.deadline, settings)
            self._daemon.start()
        return self._daemon

    def agent(self) -> Agent:
        """Another agent, connected to the daemon."""
        self.daemon()
        agent = self.agent_process()
        agent.do("connect")
        return agent

    def peer(self) -> RawPeer:
        """Another raw peer, connected to the daemon."""
        peer = RawPeer(self.daemon().path, self.deadline)
        self._sockets.append(peer)
        return peer

    # Beside a fake one

    def agent_process(self) -> Agent:
        """An agent that was told nothing yet."""
        agent = Agent(self.language.command, self.path, self._folder, len(self._agents) + 1, self.deadline)
        self._agents.append(agent)
        return agent

    def fake_daemon(self) -> FakeDaemon:
        if self._fake is None:
            self._fake = FakeDaemon(self.path, self.deadline)
        return self._fake

    def accept(self) -> Link:
        """The next connection to the fake daemon."""
        link = self.fake_daemon().accept()
        self._sockets.append(link)
        return link

    def linked(self, largest_frame_bytes: int = LARGEST_FRAME_BYTES) -> Tuple[Agent, Link]:
        """An agent that a fake daemon has welcomed, and its connection."""
        self.fake_daemon()
        agent = self.agent_process()
        connecting = agent.tell("connect")
        link = self.accept()
        link.greet(largest_frame_bytes)
        # A library may ask for a sign of life before it says that something is done.
        agent.meanwhile = link.answer_pings
        agent.expect(connecting, "done")
        return agent, link

    # Steps that many behaviours begin with

    def serving(self, name: str = "work", **options: object) -> Tuple[Agent, str, RawPeer]:
        """An agent that serves a function, the tag of that, and a raw peer to call it."""
        peer = self.peer()
        agent = self.agent()
        registration = agent.tell("register", name=name, **options)
        agent.expect(registration, "done")
        return agent, registration, peer

    def calling(self, name: str = "work", **fields: int) -> Tuple[Agent, RawPeer]:
        """An agent, and a raw worker with a function for it to call."""
        worker = self.peer()
        worker.register(name, **fields)
        return self.agent(), worker


def synchronize(agent: Agent, *peers: RawPeer) -> None:
    """Afterwards the daemon has seen what the agent sent, and the peers have what came of it."""
    agent.do("ping")
    for peer in peers:
        peer.barrier()


def answer_ping(agent: Agent, link: Link) -> None:
    """The agent has read everything that the fake daemon has sent."""
    ping = agent.tell("ping")
    link.expect_ping()
    agent.expect(ping, "done")


def expect_no_report(agent: Agent, tag: str) -> None:
    """Nothing more was reported about a tag, up to now."""
    reports = agent.pending(tag)
    if reports:
        raise Failure(f"expected nothing more about {tag} from the agent, came “{reports[0]}”")
