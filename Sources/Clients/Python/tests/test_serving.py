"""Functions that this program serves, against a daemon that the test plays."""

import asyncio
import contextvars
import threading
from typing import Any, List, Optional
from unittest import mock

import hostcall
from hostcall._link import Link
from hostcall._threads import HandlerThreads
from hostcall._wire import Flags, Frame, Kind, Status

from .support import GENEROUS, FakeDaemonTestCase, FakePeer, soon, until


class ServingTestCase(FakeDaemonTestCase):
    async def serving(self, handler: Any, *, name: str = "f", limits: hostcall.Limits = hostcall.Limits()) -> FakePeer:
        """The connection of a client that has registered the handler by the handle 1."""
        client, peer = await self.connected(limits=limits)
        self.client = client
        registering = self.begin(client.register(name, handler))
        await peer.register()
        self.registration = await soon(registering)
        return peer

    @property
    def link(self) -> Link:
        """The client's end of that connection."""
        link = self.client._connection.link
        assert link is not None
        return link

    async def completion(self, handler: Any, **invoke: Any) -> Frame:
        """What an INVOKE comes to."""
        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, **{"function": 1, "timeout": 10_000, **invoke})
        return await peer.next(Kind.COMPLETE)


class ResultTests(ServingTestCase):
    async def test_the_request_has_what_came(self) -> None:
        seen: List[hostcall.Request] = []

        async def handler(request: hostcall.Request) -> None:
            seen.append(request)

        metadata = {
            "traceparent": "00-p", "hostcall-caller-uid": "1000", "hostcall-caller-gid": "100",
            "hostcall-caller-pid": "42", "hostcall-caller-session": "9",
        }
        complete = await self.completion(
            handler, flags=Flags.IDEMPOTENT, encoding=1, metadata=metadata, payload=b'{"a":2}', timeout=1_500
        )
        self.assertEqual((complete.id, complete.status, complete.payload), (7, 0, b""))
        request = seen[0]
        self.assertEqual((request.function, request.json(), request.correlation_id), ("f", {"a": 2}, 7))
        self.assertEqual(request.caller, hostcall.Caller(1000, 100, 42, 9))
        self.assertTrue(request.is_idempotent)
        self.assertFalse(request.takes_items)
        self.assertTrue(1.0 < request.time_left <= 1.5)
        self.assertEqual(request.context.trace_parent, "00-p")

    async def test_every_sort_of_function_and_result(self) -> None:
        class Callable:
            async def __call__(self, request: hostcall.Request) -> str:
                return request.text + "!"

        async def text(request: hostcall.Request) -> str:
            return request.text.upper()

        async def rich(request: hostcall.Request) -> hostcall.Reply:
            return hostcall.Reply(b"x", encoding=200, metadata={"k": "v"})

        for handler, encoding, metadata, payload in (
            (text, 0, {}, b"HI"), (rich, 200, {"k": "v"}, b"x"), (Callable(), 0, {}, b"hi!"),
            (lambda request: hostcall.JSON([request.text]), 1, {}, b'["hi"]'), (lambda request: None, 0, {}, b""),
            (lambda request: request, 0, {}, b"hi"),
        ):
            with self.subTest(handler):
                complete = await self.completion(handler, payload=b"hi")
                self.assertEqual(complete.status, 0)
                self.assertEqual(
                    (complete.encoding, complete.metadata, complete.payload), (encoding, metadata, payload)
                )

    async def test_a_failure_chooses_the_status(self) -> None:
        for status, sent in ((200, 200), (10, 10), (11, 11), (4, 4), (12, 10), (0, 10), (100, 10)):

            async def handler(request: hostcall.Request, status: int = status) -> None:
                raise hostcall.Failure(status, hostcall.JSON("why"), metadata={"k": "v"})

            complete = await self.completion(handler)
            self.assertEqual(
                (complete.status, complete.encoding, complete.payload, complete.metadata), (sent, 1, b'"why"', {"k": "v"})
            )

    async def test_any_other_exception_is_failed_with_its_text_and_logged(self) -> None:
        async def asynchronous(request: hostcall.Request) -> None:
            raise RuntimeError("no such session")

        def plain(request: hostcall.BlockingRequest) -> None:
            raise KeyError

        for handler, text in ((asynchronous, b"no such session"), (plain, b"KeyError")):
            with self.assertLogs("hostcall", "ERROR") as logs:
                complete = await self.completion(handler)
            self.assertEqual((complete.status, complete.payload), (Status.FAILED, text))
            self.assertIn("f failed (call 7)", logs.output[0])

    async def test_a_result_that_cannot_be_sent_says_why(self) -> None:
        for handler, reason in (
            (lambda request: {"a": 1}, b"hostcall.JSON"), (lambda request: hostcall.JSON(object()), b"not JSON serial"),
            (lambda request: hostcall.Reply(b"", metadata={"A": ""}), b"metadata key"),
            (lambda request: asyncio.sleep(0), b"async def"),
        ):
            complete = await self.completion(handler)
            self.assertEqual(complete.status, Status.FAILED)
            self.assertIn(reason, complete.payload)

    async def test_a_pattern_brings_the_called_name(self) -> None:
        async def handler(request: hostcall.Request) -> str:
            return request.function

        peer = await self.serving(handler, name="files.*")
        peer.send(Kind.INVOKE, 7, function=1, timeout=1_000, name="files.read")
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"files.read")
        peer.send(Kind.INVOKE, 8, function=1, timeout=1_000)
        self.assertIn("without a name", await peer.ends_with_goaway())

    async def test_a_call_larger_than_this_worker_takes_is_refused_and_nothing_else(self) -> None:
        peer = await self.serving(lambda request: "fine", limits=hostcall.Limits(largest_frame_bytes=200))
        peer.send(Kind.INVOKE, 7, function=1, timeout=1_000, payload=b"x" * 201)
        complete = await peer.next(Kind.COMPLETE)
        self.assertEqual((complete.id, complete.status), (7, Status.BUFFER_TOO_SMALL))
        peer.send(Kind.INVOKE, 8, function=1, timeout=1_000)
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"fine")

    async def test_a_rejected_completion_is_no_error(self) -> None:
        peer = await self.serving(lambda request: "fine")
        peer.send(Kind.REJECTED, 99, status=Status.LATE)
        peer.send(Kind.INVOKE, 7, function=1, timeout=1_000)
        await peer.next(Kind.COMPLETE)

    async def test_ping_is_answered_while_handlers_run(self) -> None:
        gate = threading.Event()
        self.addCleanup(gate.set)
        peer = await self.serving(lambda request: gate.wait(GENEROUS) and None)
        peer.send(Kind.INVOKE, 7, function=1, timeout=1_000)
        peer.send(Kind.PING, 3)
        await peer.next(Kind.PONG)
        gate.set()
        await peer.next(Kind.COMPLETE)


    async def test_a_thread_that_cannot_be_started_fails_that_call_alone(self) -> None:
        peer = await self.serving(lambda request: "fine")
        with mock.patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
            with self.assertLogs("hostcall", "ERROR") as logs:
                peer.send(Kind.INVOKE, 7, function=1, timeout=1_000)
                complete = await peer.next(Kind.COMPLETE)
        self.assertEqual((complete.id, complete.status), (7, Status.FAILED))
        self.assertEqual(complete.payload, b"it was not run: no thread can be started: can't start new thread")
        self.assertIn("f is not run", logs.output[0])
        peer.send(Kind.INVOKE, 8, function=1, timeout=1_000)
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"fine")

    async def test_work_that_a_free_thread_has_taken_needs_no_other(self) -> None:
        threads = HandlerThreads(2, "test")
        self.addCleanup(threads.close)
        held, gate, done = threading.Event(), threading.Event(), threading.Event()

        def hold() -> None:
            held.set()
            gate.wait(GENEROUS)

        def refuse(thread: threading.Thread) -> None:
            # The first thread is free before this one has failed to start.
            gate.set()
            done.wait(GENEROUS)
            raise RuntimeError("can't start new thread")

        threads.submit(hold)
        await until(held.is_set)
        with mock.patch("threading.Thread.start", refuse):
            threads.submit(done.set)
        self.assertTrue(done.is_set())


class RegisteringTests(FakeDaemonTestCase):
    async def test_a_refusal_is_the_users_to_hear(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: None, mode="exclusive"))
        peer.result(await peer.next(Kind.REGISTER), Status.ALREADY_REGISTERED, call=0, payload=b"f: somebody has it")
        with self.assertRaisesRegex(hostcall.AlreadyRegistered, "f: ALREADY_REGISTERED from the daemon: somebody has it"):
            await soon(registering)
        self.assertFalse(client._connection.serving.has_registrations)

    async def test_a_handle_that_cannot_be_is_told_as_the_loss_that_it_is(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: None))
        peer.result(await peer.next(Kind.REGISTER), call=0, aux=0)
        self.assertIn("handle 0", await peer.ends_with_goaway())
        with self.assertRaisesRegex(hostcall.ConnectionLost, "handle 0, which cannot be"):
            await soon(registering)

    async def test_what_cannot_be_registered(self) -> None:
        client, _ = await self.connected()
        for options in ({"concurrency": -1}, {"mode": "solo"}, {"timeout": 0}):
            with self.assertRaises(hostcall.InvalidArgument):
                await client.register("f", lambda request: None, **options)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            await client.register("f", "no function")  # type: ignore[arg-type]
        with self.assertRaises(hostcall.InvalidArgument):
            await client.register("a*b", lambda request: None)

    async def test_unregister_waits_for_the_daemon_and_may_be_done_twice(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: None, concurrency=5, timeout=2.5))
        request = await peer.register(handle=3)
        self.assertEqual((request.aux, request.timeout), (5, 2_500))
        registration = await soon(registering)
        ending = self.begin(registration.unregister())
        request = await peer.next(Kind.UNREGISTER)
        self.assertEqual(request.function, 3)
        # It was on its way when the daemon heard of the end.
        peer.send(Kind.INVOKE, 7, function=3, timeout=1_000)
        await peer.next(Kind.COMPLETE)
        self.assertFalse(ending.done())
        peer.result(request, call=0)
        await soon(ending)
        await soon(registration.unregister())

    async def test_cancelling_the_registering_ends_the_registration(self) -> None:
        client, peer = await self.connected()
        registering = self.begin(client.register("f", lambda request: None))
        request = await peer.next(Kind.REGISTER)
        registering.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await soon(registering)
        peer.result(request, call=0, aux=2)
        self.assertEqual((await peer.next(Kind.UNREGISTER)).function, 2)


class WorkerTests(FakeDaemonTestCase):
    def worker(self) -> hostcall.Worker:
        """One with two functions, which it registers one after the other."""
        worker = hostcall.Worker(self.daemon.path)

        @worker.function("f")
        async def f(request: hostcall.Request) -> str:
            return "f"

        @worker.function("g")
        async def g(request: hostcall.Request) -> str:
            return "g"

        return worker

    async def test_leaving_while_it_registers_is_in_good_order(self) -> None:
        worker = self.worker()
        ready: List[bool] = []
        serving = self.begin(worker.serve(on_ready=lambda: ready.append(True)))
        peer = await self.daemon.accept()
        await peer.welcome()
        request = await peer.next(Kind.REGISTER)
        leaving = self.begin(worker.shutdown())
        await peer.next(Kind.GOAWAY)
        ping = await peer.next(Kind.PING)
        peer.result(request, call=0, aux=1)
        # It was on its way, and is answered.
        peer.send(Kind.INVOKE, 7, function=1, timeout=1_000)
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"f")
        peer.send(Kind.PONG, ping.id)
        await soon(leaving)
        await soon(serving)
        self.assertEqual(ready, [])

    async def test_leaving_before_it_is_connected_or_when_that_fails_is_too(self) -> None:
        for is_welcome in (True, False):
            worker = self.worker()
            serving = self.begin(worker.serve())
            peer = await self.daemon.accept()
            await peer.next(Kind.HELLO)
            await soon(worker.shutdown())
            if is_welcome:
                peer.send(Kind.WELCOME, 5, function=1, aux=1, metadata={"max-frame": "1000"})
                await peer.ended()
            else:
                peer.close()
            await soon(serving)

    async def test_closing_while_it_registers_is_too(self) -> None:
        worker = self.worker()
        serving = self.begin(worker.serve())
        peer = await self.daemon.accept()
        await peer.welcome()
        await peer.next(Kind.REGISTER)
        await soon(worker.close())
        await soon(serving)


class EndTests(ServingTestCase):
    async def test_a_cancelled_call_cancels_its_task_and_completes_as_cancelled(self) -> None:
        heard = asyncio.Event()
        started = asyncio.Event()

        async def handler(request: hostcall.Request) -> str:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.set()
            self.assertTrue(request.has_ended)
            return "too late"

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        await soon(started.wait())
        peer.send(Kind.CANCEL, 7, status=Status.TIMEOUT)
        complete = await peer.next(Kind.COMPLETE)
        self.assertTrue(heard.is_set())
        self.assertEqual((complete.id, complete.status, complete.payload), (7, Status.CANCELLED, b""))

    async def test_a_call_that_is_cancelled_before_its_first_step_completes_too(self) -> None:
        ran: List[int] = []

        async def handler(request: hostcall.Request) -> None:
            ran.append(request.correlation_id)

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        peer.send(Kind.CANCEL, 7, status=Status.CALLER_LOST)
        self.assertEqual((await peer.next(Kind.COMPLETE)).status, Status.CANCELLED)
        peer.send(Kind.CANCEL, 7, status=Status.CALLER_LOST)
        peer.send(Kind.INVOKE, 8, function=1, timeout=10_000)
        self.assertEqual((await peer.next(Kind.COMPLETE)).id, 8)
        self.assertEqual(ran, [8])

    async def test_a_plain_function_sees_that_its_call_has_ended(self) -> None:
        started = threading.Event()
        seen: List[bool] = []

        def handler(request: hostcall.BlockingRequest) -> str:
            started.set()
            seen.append(request.cancelled.wait(GENEROUS))
            return "too late"

        peer = await self.serving(handler)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        await until(started.is_set)
        peer.send(Kind.CANCEL, 7, status=Status.CANCELLED)
        self.assertEqual((await peer.next(Kind.COMPLETE)).status, Status.CANCELLED)
        self.assertEqual(seen, [True])

    async def test_what_a_plain_function_waits_for_is_cancelled_with_its_call(self) -> None:
        raised: List[hostcall.HostcallError] = []

        def calls(request: hostcall.BlockingRequest) -> None:
            request.client.call("leaf")

        def streams(request: hostcall.BlockingRequest) -> None:
            for _ in request.client.stream("leaf"):
                pass

        def cleans_up(request: hostcall.BlockingRequest) -> None:
            try:
                request.client.call("leaf")
            except hostcall.HostcallError as error:
                raised.append(error)
            request.client.call("after")

        for handler in (calls, streams, cleans_up):
            with self.subTest(handler.__name__), mock.patch("hostcall._handlers.logger.error") as logged:
                peer = await self.serving(handler)
                peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
                leaf = await peer.next(Kind.CALL)
                peer.send(Kind.CANCEL, 7, status=Status.CANCELLED)
                self.assertEqual((await peer.next(Kind.CANCEL)).id, leaf.id)
                peer.result(leaf, Status.CANCELLED)
                if handler is cleans_up:
                    peer.result(await peer.next(Kind.CALL))
                self.assertEqual((await peer.next(Kind.COMPLETE)).status, Status.CANCELLED)
                logged.assert_not_called()
        self.assertEqual(str(raised[0]), "f: CANCELLED from the daemon: the call has ended (call 7)")

    async def test_losing_the_connection_cancels_what_runs(self) -> None:
        started, cancelled = asyncio.Event(), asyncio.Event()
        in_thread, told = threading.Event(), threading.Event()

        async def handler(request: hostcall.Request) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        def plain(request: hostcall.BlockingRequest) -> None:
            in_thread.set()
            if request.cancelled.wait(GENEROUS):
                told.set()

        peer = await self.serving(handler)
        registering = self.begin(self.client.register("plain", plain))
        await peer.register(handle=2)
        await soon(registering)
        peer.send(Kind.INVOKE, 7, function=1, timeout=10_000)
        peer.send(Kind.INVOKE, 8, function=2, timeout=10_000)
        await soon(started.wait())
        await until(in_thread.is_set)
        peer.close()
        await soon(cancelled.wait())
        await until(told.is_set)


    async def test_outcomes_wait_for_a_daemon_that_does_not_read(self) -> None:
        largest = 1 << 20
        ended: List[int] = []

        async def handler(request: hostcall.Request) -> bytes:
            ended.append(request.correlation_id)
            return bytes(largest // 2)

        peer = await self.serving(handler, limits=hostcall.Limits(largest_queue_bytes=largest))
        link = self.link
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for number in range(1, 21):
            peer.send(Kind.INVOKE, number, function=1, timeout=10_000)
        await until(lambda: len(ended) == 20 and len(link.held_completions) > 10)
        self.assertLessEqual(link.queued_bytes, 2 * largest)
        peer.send(Kind.CANCEL, 20, status=Status.CANCELLED)
        await until(lambda: link.running[20].was_cancelled)
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        completions = [await peer.next(Kind.COMPLETE) for _ in range(20)]
        self.assertEqual([complete.id for complete in completions], list(range(1, 21)))
        self.assertEqual([len(complete.payload) for complete in completions], [largest // 2] * 19 + [0])


class InheritingTests(ServingTestCase):
    async def check(self, handler: Any) -> None:
        peer = await self.serving(handler)
        peer.send(
            Kind.INVOKE, 7, function=1, timeout=400, metadata={"traceparent": "00-p", "tracestate": "s", "x": "y"}
        )
        call = await peer.next(Kind.CALL)
        self.assertIn(call.timeout, range(1, 401))
        self.assertEqual(call.metadata, {"traceparent": "00-p", "tracestate": "s"})
        peer.result(call, payload=b"inner")
        self.assertEqual((await peer.next(Kind.COMPLETE)).payload, b"inner")
        # And nothing of it stays behind.
        self.begin(self.client.call("g"))
        call = await peer.next(Kind.CALL)
        self.assertEqual((call.timeout, call.metadata), (0, {}))

    async def test_calls_inside_an_async_function(self) -> None:
        async def handler(request: hostcall.Request) -> str:
            return (await asyncio.ensure_future(request.client.call("inner", timeout=60))).text

        await self.check(handler)

    async def test_calls_inside_a_plain_function(self) -> None:
        await self.check(lambda request: request.client.call("inner", timeout=60).text)

    async def test_calls_of_threads_that_a_function_starts(self) -> None:
        def handler(request: hostcall.BlockingRequest) -> str:
            replies: List[str] = []

            def call() -> None:
                with hostcall.inherit(request.context):
                    replies.append(request.client.call("inner").text)

            thread = threading.Thread(target=call)
            thread.start()
            thread.join(GENEROUS)
            return replies[0]

        await self.check(handler)

    async def test_calls_in_a_copied_context(self) -> None:
        def handler(request: hostcall.BlockingRequest) -> str:
            context = contextvars.copy_context()
            return context.run(request.client.call, "inner").text

        await self.check(handler)

    async def test_the_threads_of_a_function_are_as_many_as_its_concurrency(self) -> None:
        await self.check_threads(hostcall.Limits(), concurrency=2)

    async def test_the_threads_of_a_function_without_a_concurrency_have_a_limit(self) -> None:
        await self.check_threads(hostcall.Limits(threads_per_function=2), concurrency=0)

    async def check_threads(self, limits: hostcall.Limits, concurrency: int) -> None:
        """The function runs in two threads at once, and never in three."""
        most = 0
        running = 0
        lock = threading.Lock()
        together = threading.Barrier(2)

        def handler(request: hostcall.BlockingRequest) -> Optional[str]:
            nonlocal most, running
            with lock:
                running += 1
                most = max(most, running)
            together.wait(GENEROUS)
            with lock:
                running -= 1
            return None

        client, peer = await self.connected(limits=limits)
        registering = self.begin(client.register("f", handler, concurrency=concurrency))
        await peer.register()
        await soon(registering)
        for number in range(1, 21):
            peer.send(Kind.INVOKE, number, function=1, timeout=10_000)
        self.assertEqual({(await peer.next(Kind.COMPLETE)).id for _ in range(20)}, set(range(1, 21)))
        self.assertEqual(most, 2)
