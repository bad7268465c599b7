"""The client against a real daemon: what users rely on, end to end."""

import asyncio
import json
import os
import signal
import threading
import time
from typing import AsyncIterator, List

import hostcall

from .support import GENEROUS, PACKAGE, RealDaemonTestCase, program, soon, until


class CallingTests(RealDaemonTestCase):
    async def test_calls_of_all_sorts_between_two_clients(self) -> None:
        worker, client = await self.client(), await self.client()

        async def upper(request: hostcall.Request) -> str:
            return request.text.upper()

        def lower(request: hostcall.BlockingRequest) -> hostcall.JSON:
            return hostcall.JSON({"text": request.text.lower(), "from": request.metadata.get("from")})

        await worker.register("upper", upper)
        await worker.register("lower", lower, concurrency=2)
        self.assertEqual((await client.call("upper", "hej")).text, "HEJ")
        self.assertEqual(
            (await client.call("lower", "HEJ", metadata={"from": "me"})).json(), {"text": "hej", "from": "me"}
        )
        replies = await soon(asyncio.gather(*(client.call("upper", f"x{number}") for number in range(500))))
        self.assertEqual([reply.text for reply in replies], [f"X{number}" for number in range(500)])
        payload = os.urandom(5 << 20)
        self.assertEqual((await client.call("hostcall.echo", payload, encoding=200)).payload, payload)

    async def test_errors_of_the_daemon(self) -> None:
        client = await self.client()
        with self.assertRaisesRegex(hostcall.NotFound, "^nobody: NOT_FOUND from the daemon: nobody has registered it$"):
            await client.call("nobody")
        with self.assertRaises(hostcall.CallTimeout):
            await client.call("nobody", wait=True, timeout=0.02)
        with self.assertRaises(hostcall.TooLarge):
            await client.call("hostcall.echo", bytes(17 << 20))

    async def test_a_result_larger_than_the_daemon_takes_is_too_large_for_its_caller(self) -> None:
        worker, client = await self.client(), await self.client()
        await worker.register("large", lambda request: bytes(17 << 20))
        with self.assertRaises(hostcall.TooLarge):
            await soon(client.call("large"))
        self.assertEqual((await client.call("hostcall.echo", "fine")).text, "fine")

    async def test_waits_for_a_worker_to_come(self) -> None:
        client, worker = await self.client(), await self.client()
        calling = asyncio.ensure_future(client.call("late", wait=True))
        await client.ping()
        await worker.register("late", lambda request: "here")
        self.assertEqual((await soon(calling)).text, "here")

    async def test_cancelling_and_deadlines_reach_the_handler(self) -> None:
        worker, client = await self.client(), await self.client()
        ends: "asyncio.Queue[str]" = asyncio.Queue()
        started = asyncio.Event()

        async def hold(request: hostcall.Request) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.put_nowait(request.text)
                raise

        await worker.register("hold", hold)
        calling = asyncio.ensure_future(client.call("hold", "cancelled"))
        await soon(started.wait())
        calling.cancel()
        self.assertEqual(await soon(ends.get()), "cancelled")
        with self.assertRaises(hostcall.CallTimeout):
            await client.call("hold", "deadline", timeout=0.03)
        self.assertEqual(await soon(ends.get()), "deadline")
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(client.call("hold", "wait_for"), 0.03)
        self.assertEqual(await soon(ends.get()), "wait_for")
        # And a caller that goes.
        other = await self.client()
        started.clear()
        asyncio.ensure_future(other.call("hold", "gone")).add_done_callback(lambda future: future.exception())
        await soon(started.wait())
        await other.close()
        self.assertEqual(await soon(ends.get()), "gone")

    async def test_a_chain_of_calls_shares_one_deadline_in_tasks_and_threads(self) -> None:
        worker, client = await self.client(), await self.client()
        left: List[float] = []

        async def outer(request: hostcall.Request) -> str:
            left.append(request.time_left)
            return (await request.client.call("middle", timeout=60)).text

        def middle(request: hostcall.BlockingRequest) -> str:
            left.append(request.time_left)
            return request.client.call("inner", timeout=60).text

        async def inner(request: hostcall.Request) -> str:
            left.append(request.time_left)
            return request.metadata["traceparent"]

        for name, handler in (("outer", outer), ("middle", middle), ("inner", inner)):
            await worker.register(name, handler)  # type: ignore[arg-type]
        reply = await soon(client.call("outer", timeout=5, metadata={"traceparent": "00-trace"}))
        self.assertEqual(reply.text, "00-trace")
        self.assertEqual(len(left), 3)
        # Rounding up to whole milliseconds may give back a little of what has passed.
        self.assertTrue(5.002 > left[0] > left[1] - 0.002 > left[2] - 0.004 > 0, left)

    async def test_the_deadline_ends_the_whole_chain(self) -> None:
        worker, client = await self.client(), await self.client()
        ended = asyncio.Event()

        async def outer(request: hostcall.Request) -> str:
            return (await request.client.call("inner")).text

        async def inner(request: hostcall.Request) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        await worker.register("outer", outer)
        await worker.register("inner", inner)
        with self.assertRaises(hostcall.CallTimeout):
            await client.call("outer", timeout=0.05)
        await soon(ended.wait())


class StreamAndEventTests(RealDaemonTestCase):
    async def test_a_hundred_thousand_items_are_no_more_ahead_than_the_window_and_the_daemon(self) -> None:
        worker, client = await self.client(), await self.client()
        sent = 0

        async def numbers(request: hostcall.Request) -> AsyncIterator[str]:
            nonlocal sent
            for number in range(int(request.text)):
                sent = number
                yield str(number)

        await worker.register("numbers", numbers)
        taken = 0
        async for item in client.stream("numbers", "20000"):
            self.assertEqual(item.text, str(taken))
            taken += 1
        self.assertEqual(taken, 20_000)
        stream = client.stream("numbers", "100000", window=10)
        await soon(stream.__anext__())
        for _ in range(3):
            await client.ping()
            await worker.ping()
        self.assertLess(sent, 100)
        stream.close()

    async def test_items_both_ways_at_once(self) -> None:
        worker, client = await self.client(), await self.client()

        async def double(request: hostcall.Request) -> AsyncIterator[hostcall.JSON]:
            async for item in request.arguments:
                yield hostcall.JSON(2 * item.json())

        await worker.register("double", double)
        arguments = (hostcall.JSON(number) for number in range(500))
        doubled = [item.json() async for item in client.stream("double", arguments=arguments)]
        self.assertEqual(doubled, [2 * number for number in range(500)])

    async def test_a_reader_that_is_too_slow_is_told_what_it_lost(self) -> None:
        publisher = await self.client()
        reader = await self.client(limits=hostcall.Limits(waiting_events=10))
        async with reader.events("tick") as events:
            for number in range(200):
                await publisher.publish("tick", str(number))
            await reader.ping()
            got = [await soon(events.__anext__()) for _ in range(10)]
        self.assertEqual([event.text for event in got], [str(number) for number in range(190, 200)])
        self.assertEqual(got[0].dropped_before, 190)

    async def test_events_of_the_daemon(self) -> None:
        client = await self.client()
        async with client.events("hostcall.function.*") as events:
            await client.register("new.function", lambda request: None)
            self.assertIn("new.function", (await soon(events.__anext__())).text)


class ReconnectingTests(RealDaemonTestCase):
    async def test_a_worker_and_a_reader_survive_the_daemon(self) -> None:
        worker, client, reader = await self.client(), await self.client(), await self.client()
        started = asyncio.Event()

        async def hold(request: hostcall.Request) -> str:
            started.set()
            if request.text == "hold":
                await asyncio.Event().wait()
            return "answered"

        await worker.register("f", hold)
        events = await reader.events("door.*")
        calling = asyncio.ensure_future(client.call("f", "hold"))
        await soon(started.wait())
        for _ in range(2):
            self.daemon.kill()
            if not calling.done():
                with self.assertRaises(hostcall.ConnectionLost):
                    await soon(calling)
            await until(lambda: client.server is None)
            with self.assertRaises(hostcall.CannotConnect):
                await client.call("f")
            self.daemon.start()
            self.assertEqual((await soon(client.call("f", "now", wait=True))).text, "answered")
            await until(lambda: reader.server is not None)
            await reader.ping()
            await client.publish("door.opened")
            self.assertTrue((await soon(events.__anext__())).follows_gap)

    async def test_a_daemon_that_stops_is_left_in_good_order(self) -> None:
        worker, client = await self.client(), await self.client()
        gate, started = asyncio.Event(), asyncio.Event()

        async def wait(request: hostcall.Request) -> str:
            started.set()
            await gate.wait()
            return "finished"

        await worker.register("f", wait)
        calling = asyncio.ensure_future(client.call("f"))
        await soon(started.wait())
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGTERM)
        with self.assertRaises(hostcall.HostcallError) as raised:
            while True:
                await client.call("hostcall.echo")
        self.assertIsInstance(raised.exception, hostcall.ShuttingDown)
        gate.set()
        self.assertEqual((await soon(calling)).text, "finished")


WORKER = """
import asyncio, sys, hostcall
worker = hostcall.Worker(sys.argv[1])

@worker.function("wait", concurrency=2)
async def wait(request):
    await worker.client.publish("waits")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return "waited"

@worker.function("stuck")
def stuck(request):
    import time
    while True:
        time.sleep(60)

worker.run(on_ready=lambda: print("ready", flush=True))
print("left", flush=True)
"""


class WorkerProgramTests(RealDaemonTestCase):
    async def test_sigterm_finishes_what_runs_and_leaves_with_status_0(self) -> None:
        client = await self.client()
        with program(WORKER, self.daemon.path) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
            async with client.events("waits") as events:
                calling = asyncio.ensure_future(client.call("wait"))
                await soon(events.__anext__())
            async with client.events("hostcall.function.unregistered") as events:
                process.send_signal(signal.SIGTERM)
                # It is leaving, and the call still runs.
                await soon(events.__anext__())
            self.assertFalse(calling.done())
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            self.assertEqual((await soon(calling)).text, "waited")
            await until(lambda: process.poll() is not None)
            self.assertEqual((process.returncode, process.stdout.read()), (0, "left\n"))
        with self.assertRaises(hostcall.NotFound):
            await client.call("wait")

    async def test_a_second_signal_does_not_wait_and_stuck_threads_hold_nobody(self) -> None:
        client = await self.client()
        with program(WORKER, self.daemon.path) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
            calling = asyncio.ensure_future(client.call("stuck"))
            async with client.events("hostcall.function.unregistered") as events:
                await client.ping()
                await self._is_running(client, "stuck")
                process.send_signal(signal.SIGINT)
                await soon(events.__anext__())
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGINT)
            await until(lambda: process.poll() is not None)
            self.assertEqual(process.returncode, 0)
            with self.assertRaises(hostcall.WorkerLost):
                await soon(calling)

    async def _is_running(self, client: hostcall.Client, name: str) -> None:
        end = time.monotonic() + GENEROUS
        while time.monotonic() < end:
            functions = (await client.call("hostcall.functions")).json()
            if f'"name": "{name}"' in json.dumps(functions) and '"running": 1' in json.dumps(functions):
                return
        raise AssertionError(f"{name} does not run")

    async def test_without_a_daemon_it_says_what_to_do(self) -> None:
        self.daemon.kill()
        with program(WORKER, self.daemon.path) as process:
            _, errors = process.communicate(timeout=GENEROUS)
            self.assertEqual(process.returncode, 1)
            self.assertTrue(errors.rstrip().splitlines()[-1].startswith("hostcall.CannotConnect: cannot reach hostcalld"))

    async def test_a_worker_in_a_loop_of_its_own_program(self) -> None:
        worker = hostcall.Worker(self.daemon.path)

        @worker.function("f")
        async def f(request: hostcall.Request) -> str:
            return "x"

        with self.assertRaises(RuntimeError):
            worker.client
        ready = asyncio.Event()
        serving = asyncio.ensure_future(worker.serve(on_ready=ready.set))
        await soon(ready.wait())
        self.assertEqual((await worker.client.call("f")).text, "x")
        await soon(worker.shutdown())
        await soon(serving)
        with self.assertRaisesRegex(RuntimeError, "nothing to serve"):
            await hostcall.Worker(self.daemon.path).serve()

    async def test_the_demo_worker_passes_calls_on_and_tells_of_cancelling(self) -> None:
        client = await self.client()
        demo = PACKAGE.parents[2] / "Demo/Python/demo_worker.py"
        with program(f"import runpy; runpy.run_path({str(demo)!r}, run_name='__main__')", self.daemon.path) as process:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
            reply = await soon(client.call("hop.python", "python python end", timeout=5))
            lines = reply.text.splitlines()
            self.assertEqual(len(lines), 3)
            self.assertEqual(lines[0].split()[:2], ["python", f"call={reply.correlation_id}"])
            async with client.events("hop.cancelled") as events:
                with self.assertRaises(hostcall.CallTimeout):
                    await client.call("hop.python", "python hold", timeout=0.1)
                self.assertTrue((await soon(events.__anext__())).text.startswith("python call="))
            process.send_signal(signal.SIGTERM)
            await until(lambda: process.poll() is not None)
            self.assertEqual(process.returncode, 0)


class ThreadTests(RealDaemonTestCase):
    async def test_plain_functions_hold_nobody_up(self) -> None:
        client = await self.client()
        together = threading.Barrier(5)
        await client.register("meet", lambda request: str(together.wait(GENEROUS)))
        calls = [asyncio.ensure_future(client.call("meet")) for _ in range(4)]
        self.assertEqual((await client.call("hostcall.echo", "meanwhile")).text, "meanwhile")
        await soon(asyncio.get_running_loop().run_in_executor(None, together.wait, GENEROUS))
        await soon(asyncio.gather(*calls))
