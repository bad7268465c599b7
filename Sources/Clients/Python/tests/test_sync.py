"""The synchronous face, against a real daemon."""

import asyncio
import os
import signal
import sys
import threading
import unittest
from typing import Any, Iterator, List

import hostcall

from .support import GENEROUS, RealDaemon, program


class SyncTests(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = RealDaemon()
        self.addCleanup(self.daemon.stop)
        self.daemon.start()
        self.client = hostcall.sync.connect(self.daemon.path, client_name="sync/1")
        self.addCleanup(self.client.close)

    def test_calls_of_many_threads(self) -> None:
        self.client.register("upper", lambda request: request.text.upper(), concurrency=4)
        results: List[str] = []

        def call(number: int) -> None:
            for _ in range(20):
                results.append(self.client.call("upper", f"n{number}", timeout=5).text)

        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GENEROUS)
        self.assertEqual(sorted(results), sorted(f"N{number}" for number in range(8) for _ in range(20)))
        self.assertGreater(self.client.ping(), 0)
        assert self.client.server is not None
        self.assertTrue(self.client.server.server.startswith("hostcalld/"))

    def test_errors_are_those_of_the_asyncio_client(self) -> None:
        with self.assertRaises(hostcall.NotFound):
            self.client.call("nobody")
        with self.assertRaises(TypeError):
            self.client.call("nobody", arguments=5)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            self.client.call("nobody", arguments="text")
        registration = self.client.register("f", lambda request: None)
        registration.unregister()
        with self.assertRaises(hostcall.NotFound):
            self.client.call(registration.name)

    def test_streams_both_ways(self) -> None:
        def numbers(request: hostcall.BlockingRequest) -> Any:
            for number in range(int(request.text)):
                yield str(number)
            return "that was all"

        def total(request: hostcall.BlockingRequest) -> hostcall.JSON:
            return hostcall.JSON(sum(int(item.text) for item in request.arguments))

        self.client.register("numbers", numbers)
        self.client.register("sum", total)
        with self.client.stream("numbers", "100", window=7) as stream:
            self.assertEqual([item.text for item in stream], [str(number) for number in range(100)])
            self.assertEqual(stream.reply().text, "that was all")
        self.assertEqual(self.client.call("sum", arguments=map(str, range(50))).json(), 1225)

    def test_arguments_that_block_hold_nobody_up(self) -> None:
        gate = threading.Event()

        def slow() -> Iterator[str]:
            gate.wait(GENEROUS)
            yield "5"

        self.client.register("count", lambda request: hostcall.JSON(len(list(request.arguments))))
        replies: List[Any] = []
        thread = threading.Thread(target=lambda: replies.append(self.client.call("count", arguments=slow()).json()))
        thread.start()
        self.assertEqual(self.client.call("hostcall.echo", b"meanwhile").text, "meanwhile")
        gate.set()
        thread.join(GENEROUS)
        self.assertEqual(replies, [1])

    def test_leaving_the_loop_cancels_the_call_in_the_worker(self) -> None:
        ended = threading.Event()

        def endless(request: hostcall.BlockingRequest) -> Iterator[str]:
            try:
                while True:
                    yield "x"
            finally:
                ended.set()

        self.client.register("endless", endless)
        for item in self.client.stream("endless"):
            self.assertEqual(item.text, "x")
            break
        self.assertTrue(ended.wait(GENEROUS))

    def test_cancelling_passes_through_plain_functions(self) -> None:
        held, cancelled = threading.Event(), threading.Event()

        def leaf(request: hostcall.BlockingRequest) -> None:
            held.set()
            if request.cancelled.wait(GENEROUS):
                cancelled.set()

        self.client.register("leaf", leaf)
        self.client.register("outer", lambda request: request.client.call("leaf").text)
        with self.client.stream("outer"):
            self.assertTrue(held.wait(GENEROUS))
        self.assertTrue(cancelled.wait(GENEROUS))

    def test_events_and_their_end(self) -> None:
        with self.client.events("door.*") as events:
            self.assertEqual(self.client.publish("door.opened", "front"), 1)
            self.assertEqual(next(events).text, "front")
            got: List[hostcall.Event] = []
            thread = threading.Thread(target=lambda: got.extend(events))
            thread.start()
            self.client.publish("door.closed")
            events.close()
            thread.join(GENEROUS)
            self.assertFalse(thread.is_alive())
        self.assertEqual(self.client.publish("door.opened"), 0)

    def test_would_rather_raise_than_wait_for_its_own_loop(self) -> None:
        async def handler(request: hostcall.Request) -> str:
            return self.client.call("hostcall.echo").text

        self.client.register("f", handler)
        with self.assertRaisesRegex(hostcall.Failed, "would wait for the event loop"):
            self.client.call("f")

    def test_waits_for_the_end_of_what_runs_at_shutdown(self) -> None:
        gate = threading.Event()
        self.client.register("f", lambda request: gate.wait(GENEROUS) and "done" or "never")
        other = hostcall.sync.connect(self.daemon.path)
        self.addCleanup(other.close)
        replies: List[str] = []
        calling = threading.Thread(target=lambda: replies.append(other.call("f").text))
        calling.start()
        while other.call("hostcall.functions").json() and not self._runs(other):
            pass
        leaving = threading.Thread(target=self.client.shutdown)
        leaving.start()
        gate.set()
        leaving.join(GENEROUS)
        calling.join(GENEROUS)
        self.assertEqual(replies, ["done"])
        self.assertTrue(self.client.is_closed)
        self.assertIsNone(self.client.wait_closed())
        with self.assertRaises(hostcall.Closed):
            self.client.call("f")

    @staticmethod
    def _runs(client: hostcall.sync.Client) -> bool:
        return '"running":1' in client.call("hostcall.functions").text.replace(" ", "")

    def test_an_interrupted_wait_cancels_the_call(self) -> None:
        source = """
import os, sys, hostcall
client = hostcall.sync.connect(sys.argv[1])
try:
    client.call("hold")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()
"""
        held, cancelled = threading.Event(), threading.Event()

        def hold(request: hostcall.BlockingRequest) -> None:
            held.set()
            if request.cancelled.wait(GENEROUS):
                cancelled.set()

        self.client.register("hold", hold)
        with program(source, self.daemon.path) as process:
            self.assertTrue(held.wait(GENEROUS))
            os.kill(process.pid, signal.SIGINT)
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "interrupted\n")
            self.assertTrue(cancelled.wait(GENEROUS))

    def test_a_forked_process_has_a_loop_of_its_own(self) -> None:
        source = """
import os, sys, hostcall
client = hostcall.sync.connect(sys.argv[1])
child = os.fork()
if child == 0:
    with hostcall.sync.connect(sys.argv[1]) as own:
        os._exit(0 if own.call("hostcall.echo", b"x").payload == b"x" else 1)
print(os.waitpid(child, 0)[1], client.call("hostcall.echo", b"y").text)
"""
        with program(source, self.daemon.path) as process:
            output, errors = process.communicate(timeout=GENEROUS)
            self.assertEqual((output, process.returncode), ("0 y\n", 0), errors)

    def test_a_client_of_another_process_says_so(self) -> None:
        source = """
import os, sys, hostcall
with hostcall.sync.connect(sys.argv[1]) as client:
    stream = client.stream("hostcall.echo")
    child = os.fork()
    if child == 0:
        for attempt in (lambda: client.call("f"), client.ping, lambda: next(stream), lambda: client.send("f")):
            try:
                attempt()
            except hostcall.Closed as error:
                print(error, flush=True)
        stream.close()
        sys.exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.call("hostcall.echo", b"y").text)
"""
        with program(source, self.daemon.path) as process:
            output, errors = process.communicate(timeout=GENEROUS)
        refusal = "this client was made in another process, from which this one was forked: connect anew\n"
        self.assertEqual((output, process.returncode), (refusal * 4 + "3 y\n", 0), errors)

    def test_exiting_in_a_function_ends_its_call_and_no_client(self) -> None:
        async def leaves(request: hostcall.Request) -> None:
            sys.exit("enough")

        async def leaves_elsewhere(request: hostcall.Request) -> str:
            task = asyncio.get_running_loop().create_task(leaves(request))
            task.add_done_callback(lambda done: done.exception())
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
            await request.client.ping()
            return "still here"

        def arguments() -> Iterator[str]:
            yield "1"
            sys.exit("no more")

        self.client.register("leaves", leaves)
        self.client.register("elsewhere", leaves_elsewhere)
        self.client.register("count", lambda request: hostcall.JSON(len(list(request.arguments))))
        with self.assertLogs("hostcall", "ERROR") as logs:
            with self.assertRaisesRegex(hostcall.Failed, "enough"):
                self.client.call("leaves", timeout=GENEROUS)
            self.assertEqual(self.client.call("elsewhere", timeout=GENEROUS).text, "still here")
            with self.assertRaisesRegex(hostcall.Cancelled, "no more"):
                self.client.call("count", arguments=arguments(), timeout=GENEROUS)
        self.assertIn("leaves failed", logs.output[0])
        self.assertEqual(self.client.call("hostcall.echo", b"x").text, "x")

    def test_the_end_of_the_background_loop_is_told_to_those_who_wait(self) -> None:
        source = """
import sys, threading, hostcall
client = hostcall.sync.connect(sys.argv[1])
held, told = threading.Event(), []
def hold(request):
    held.set()
    request.cancelled.wait()
client.register("hold", hold)
def attempt(work):
    try:
        work()
    except hostcall.Closed as error:
        told.append(str(error))
events = client.events("a")
works = (lambda: client.call("hold"), lambda: next(events))
threads = [threading.Thread(target=attempt, args=(work,)) for work in works]
for thread in threads:
    thread.start()
held.wait()
client._loop.call_soon_threadsafe(client._loop._selector.close)
for thread in threads:
    thread.join()
attempt(client.ping)
attempt(lambda: client.call("hold"))
print(len(told), set(told))
with hostcall.sync.connect(sys.argv[1]) as other:
    print(other.call("hostcall.echo", b"anew").text)
"""
        with program(source, self.daemon.path) as process:
            output, errors = process.communicate(timeout=GENEROUS)
        told = r"4 \{.*the background loop of hostcall\.sync has ended: .*\(connect anew\).*\}\nanew\n"
        self.assertRegex(output, told, errors)

    def test_arguments_that_wait_starve_no_others_and_hold_no_program(self) -> None:
        source = """
import sys, threading, hostcall
client = hostcall.sync.connect(sys.argv[1])
client.register("count", lambda request: hostcall.JSON(len(list(request.arguments))))
waits = threading.Semaphore(0)
def endless():
    waits.release()
    threading.Event().wait()
    yield "never"
for _ in range(40):
    threading.Thread(target=lambda: client.call("count", arguments=endless()), daemon=True).start()
for _ in range(40):
    waits.acquire()
print(client.call("count", arguments=["1", "2"]).json(), flush=True)
"""
        with program(source, self.daemon.path) as process:
            output, errors = process.communicate(timeout=GENEROUS)
        self.assertEqual((output, process.returncode), ("2\n", 0), errors)

    def test_functions_that_are_async_run_too(self) -> None:
        async def handler(request: hostcall.Request) -> str:
            await asyncio.sleep(0)
            return "async"

        self.client.register("f", handler)
        self.assertEqual(self.client.call("f").text, "async")
