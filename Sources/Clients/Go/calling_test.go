package hostcall_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

func metadataOf(frame *wire.Frame) map[string]string {
	all := map[string]string{}
	for rest := frame.Metadata; len(rest) > 0; {
		var key, value []byte
		key, value, rest, _ = wire.NextEntry(rest)
		all[string(key)] = string(value)
	}
	return all
}

func TestACallSaysOnTheWireWhatWasAskedFor(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply := laterCall(ctx, client, "token.fetch", `{"a":1}`, hostcall.WithEncoding(hostcall.JSONEncoding),
		hostcall.WithMetadata(hostcall.Metadata{"language": "en"}), hostcall.Idempotent(), hostcall.WaitForWorker(),
		hostcall.WithMetadata(hostcall.Metadata{"more": "yes"}))
	call := peer.expect(wire.Call)
	if string(call.Name) != "token.fetch" || string(call.Payload) != `{"a":1}` || call.Encoding != 1 ||
		call.Flags != wire.Idempotent|wire.Wait || call.ID>>63 != 1 || call.Function != 0 || call.Aux != 0 {
		t.Errorf("CALL is %+v", call)
	}
	if call.Timeout <= 50_000 || call.Timeout > 60_000 {
		t.Errorf("the timeout is %d ms, of a minute", call.Timeout)
	}
	if m := metadataOf(call); len(m) != 2 || m["language"] != "en" || m["more"] != "yes" {
		t.Errorf("the metadata are %v", m)
	}
	header := wire.Header{Kind: wire.Result, ID: call.ID, Flags: wire.FromWorker, Encoding: 200}
	header.SetCall(1<<40 + 5)
	peer.send(header, "", wire.AppendEntry(nil, "took", "1 ms"), []byte("result"))
	got := reply.must(t)
	if got.Text() != "result" || got.Encoding != 200 || got.Metadata["took"] != "1 ms" || got.CorrelationID != 1<<40+5 {
		t.Errorf("the reply is %+v", got)
	}
}

func TestACallWithoutADeadlineLeavesItToTheDaemon(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	reply := laterCall(context.Background(), client, "a", "")
	call := peer.expect(wire.Call)
	if call.Timeout != 0 {
		t.Errorf("the timeout is %d ms", call.Timeout)
	}
	peer.result(call, hostcall.OK, "")
	if got := reply.must(t); got.Payload != nil || got.CorrelationID != 0 {
		t.Errorf("the reply is %+v", got)
	}
}

func TestErrorsOfCallsSayWhoseTheyAreAndReadWell(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	for _, test := range []struct {
		status  hostcall.Status
		flags   wire.Flags
		call    uint64
		payload string
		origin  hostcall.Origin
		text    string
	}{
		{
			hostcall.Timeout, 0, 4294967301, "token.fetch: no outcome within 250 ms", hostcall.FromDaemon,
			"token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)",
		},
		{
			hostcall.NotFound, 0, 0, "token.fetch: nobody has registered it", hostcall.FromDaemon,
			"token.fetch: NOT_FOUND from the daemon: nobody has registered it",
		},
		{
			hostcall.Failed, wire.FromWorker, 3, "no such\x1b user", hostcall.FromWorker,
			"token.fetch: FAILED from the worker: no such? user (call 3)",
		},
		{
			200, wire.FromWorker, 3, "\xff\xfe", hostcall.FromWorker,
			"token.fetch: STATUS_200 from the worker: 2 bytes, encoding raw (call 3)",
		},
		{hostcall.Denied, 0, 0, "", hostcall.FromDaemon, "token.fetch: DENIED from the daemon"},
	} {
		reply := laterCall(context.Background(), client, "token.fetch", "")
		call := peer.expect(wire.Call)
		header := wire.Header{Kind: wire.Result, ID: call.ID, Status: uint8(test.status), Flags: test.flags}
		header.SetCall(test.call)
		peer.send(header, "", wire.AppendEntry(nil, "why", "so"), []byte(test.payload))
		_, err := reply.get(t)
		failure := checkStatus(t, err, test.status, test.origin)
		if err.Error() != test.text {
			t.Errorf("it reads “%v”, not “%s”", err, test.text)
		}
		if failure.CorrelationID != test.call || string(failure.Payload) != test.payload || failure.Metadata["why"] != "so" {
			t.Errorf("the error is %+v", failure)
		}
		if errors.Is(err, context.DeadlineExceeded) != (test.status == hostcall.Timeout) {
			t.Errorf("“%v” and context.DeadlineExceeded", err)
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, hostcall.ErrConnectionLost) || errors.Is(err, hostcall.OK) {
			t.Errorf("“%v” is something that it is not", err)
		}
	}
}

func TestALongErrorIsCutShort(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	reply := laterCall(context.Background(), client, "a", "")
	peer.result(peer.expect(wire.Call), hostcall.Failed, strings.Repeat("ä", 5000))
	_, err := reply.get(t)
	if failure := checkStatus(t, err, hostcall.Failed, hostcall.FromDaemon); len(failure.Payload) != 10_000 {
		t.Errorf("the payload has %d bytes", len(failure.Payload))
	}
	if !strings.HasSuffix(err.Error(), "ä…") || len(err.Error()) > 2100 {
		t.Errorf("it reads “%v”", err)
	}
}

func TestCancellingACallSendsCancelAndTakesTheDaemonsWord(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx, cancel := context.WithCancel(context.Background())
	reply := laterCall(ctx, client, "slow", "")
	call := peer.expect(wire.Call)
	cancel()
	if frame := peer.expect(wire.Cancel); frame.ID != call.ID {
		t.Errorf("CANCEL has the id %d, the call %d", frame.ID, call.ID)
	}
	header := wire.Header{Kind: wire.Result, ID: call.ID, Status: uint8(hostcall.Cancelled)}
	header.SetCall(12)
	peer.send(header, "", nil, []byte("cancelled by the caller"))
	_, err := reply.get(t)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromDaemon)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "(call 12)") {
		t.Errorf("the error is %v", err)
	}
}

func TestAResultThatWasOnItsWayWinsOverACancellation(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx, cancel := context.WithCancel(context.Background())
	reply := laterCall(ctx, client, "slow", "")
	call := peer.expect(wire.Call)
	cancel()
	peer.expect(wire.Cancel)
	peer.result(call, hostcall.OK, "just in time")
	if got := reply.must(t); got.Text() != "just in time" {
		t.Errorf("the reply is %+v", got)
	}
}

func TestADaemonThatDoesNotAnswerACancellationIsNotWaitedForLong(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	reply := laterCall(ctx, client, "slow", "")
	call := peer.expect(wire.Call)
	cancel()
	_, err := reply.get(t)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	if !errors.Is(err, context.Canceled) || err.Error() !=
		"slow: CANCELLED: the daemon has not answered within 1ms of the cancellation (CancelGrace)" {
		t.Errorf("the error is %v", err)
	}
	// What comes after all goes nowhere, and breaks nothing.
	peer.expect(wire.Cancel)
	peer.result(call, hostcall.OK, "late")
	peer.barrier()
	second := laterCall(context.Background(), client, "quick", "")
	peer.result(peer.expect(wire.Call), hostcall.OK, "of the second")
	if got := second.must(t); got.Text() != "of the second" {
		t.Errorf("the reply is %+v", got)
	}
}

func TestADeadlineIsTheDaemonsToTell(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(patience))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	reply := laterCall(ctx, client, "slow", "")
	call := peer.expect(wire.Call)
	<-ctx.Done()
	peer.barrier() // No CANCEL has been sent.
	peer.result(call, hostcall.Timeout, "slow: no outcome within 5 ms")
	_, err := reply.get(t)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromDaemon)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "within 5 ms") {
		t.Errorf("the error is %v", err)
	}
}

func TestADeadlineThatTheDaemonDoesNotTellOfHoldsAllTheSame(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	_, err := client.Call(ctx, "slow", nil)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromClient)
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() !=
		"slow: TIMEOUT: the daemon has not answered within 1ms of the deadline (CancelGrace)" {
		t.Errorf("the error is %v", err)
	}
	call := peer.expect(wire.Call)
	peer.expect(wire.Cancel)
	// What comes after all goes nowhere, and breaks nothing.
	peer.result(call, hostcall.OK, "late")
	peer.barrier()
}

func TestACallThatWaitsForAConnectionEndsAtItsDeadline(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect()
	peer.connection.Close()
	wait(t, "the loss is noticed", func() bool { _, ok := client.Server(); return !ok })
	// The daemon takes the connection, and says nothing.
	for what, begin := range map[string]func(ctx context.Context) error{
		"a call":        func(ctx context.Context) error { _, err := client.Call(ctx, "a", nil); return err },
		"a stream":      func(ctx context.Context) error { _, err := client.Stream(ctx, "a", nil); return err },
		"a publication": func(ctx context.Context) error { _, err := client.Publish(ctx, "a", nil); return err },
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		_, err := later(func() (int, error) { return 0, begin(ctx) }).get(t)
		cancel()
		checkStatus(t, err, hostcall.Timeout, hostcall.FromClient)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "there was no connection to hostcalld at ") {
			t.Errorf("%s has ended with %v", what, err)
		}
	}
}

func TestRequestsThatNobodyWaitsForHoldNoShutdownUp(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	stream, call := openStream(context.Background(), t, client, peer)
	stream.Close()
	peer.expect(wire.Cancel)
	published := later(func() (int, error) { return client.Publish(ctx, "a", nil) })
	peer.expect(wire.Publish)
	_, err := published.get(t)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromClient)
	again, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	_, err = client.Call(again, "a", nil)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromClient)
	second := peer.expect(wire.Call)
	peer.expect(wire.Cancel)
	peer.item(call.ID, 0, "late")
	peer.barrier()
	down := later(func() (int, error) { return 0, client.Shutdown(context.Background()) })
	peer.expect(wire.Goaway)
	// One that comes while the client leaves is passed over too.
	peer.result(second, hostcall.OK, "late")
	peer.send(wire.Header{Kind: wire.Pong, ID: peer.expect(wire.Ping).ID}, "", nil, nil)
	down.must(t)
}

func TestNothingIsSentForAContextThatHasEnded(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := client.Call(ctx, "a", nil)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	past, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	_, err = client.Call(past, "a", nil)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromClient)
	_, err = client.Publish(ctx, "a", nil)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	_, err = client.Stream(ctx, "a", nil)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	_, err = client.Subscribe(ctx, "a")
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	peer.barrier()
}

func TestWhatNoDaemonWouldTakeIsRefusedHere(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx := context.Background()
	for _, name := range []string{"", ".", "a..b", "a.", "a b", "ä", "a.*", "*", strings.Repeat("n", 256)} {
		_, err := client.Call(ctx, name, nil)
		checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
		_, err = client.Publish(ctx, name, nil)
		checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	}
	for _, metadata := range []hostcall.Metadata{
		{"": ""}, {"Upper": ""}, {"hostcall-x": ""}, {"nul": "a\x00b"}, {"not-utf8": "\xff"},
		{strings.Repeat("k", 65): ""}, {"long": strings.Repeat("v", 65536)},
		{"a": strings.Repeat("v", 40_000), "b": strings.Repeat("v", 40_000)},
	} {
		_, err := client.Call(ctx, "a", nil, hostcall.WithMetadata(metadata))
		checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	}
	_, err := client.Call(ctx, "a", nil, hostcall.WithEncoding(3))
	checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	_, err = client.Handle("a", nil)
	checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	_, err = client.Handle("a..b", func(context.Context, *hostcall.Request) ([]byte, error) { return nil, nil })
	checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	_, err = client.Subscribe(ctx, "a.*.b")
	checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	peer.barrier()
}

func TestACallLargerThanMaxFrameIsTooLargeAtOnce(t *testing.T) {
	d := newFakeDaemon(t)
	d.maxFrame = "1000"
	client, peer := d.connect()
	_, err := client.Call(context.Background(), "a", make([]byte, 1000))
	checkStatus(t, err, hostcall.TooLarge, hostcall.FromClient)
	if !strings.Contains(err.Error(), "1001 bytes") || !strings.Contains(err.Error(), "1000 at most") {
		t.Errorf("it reads “%v”", err)
	}
	_, err = client.Publish(context.Background(), "a", make([]byte, 1000))
	checkStatus(t, err, hostcall.TooLarge, hostcall.FromClient)
	reply := laterCall(context.Background(), client, "a", strings.Repeat("x", 999))
	peer.result(peer.expect(wire.Call), hostcall.OK, "")
	reply.must(t)
}

func TestAResultThatIsTooLargeEndsItsCallAlone(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.LargestFrame(2000))
	reply := laterCall(context.Background(), client, "a", "")
	header := wire.Header{Kind: wire.Result, ID: peer.expect(wire.Call).ID}
	header.SetCall(8)
	peer.send(header, "", nil, make([]byte, 2001))
	_, err := reply.get(t)
	failure := checkStatus(t, err, hostcall.TooLarge, hostcall.FromClient)
	if failure.CorrelationID != 8 || !strings.Contains(err.Error(), "LargestFrame") {
		t.Errorf("it reads “%v”", err)
	}
	peer.barrier()
}

func TestADaemonThatDoesNotReadMakesCallsOverloaded(t *testing.T) {
	client, _ := newFakeDaemon(t).connect(hostcall.LargestQueue(1 << 20))
	payload := make([]byte, 600_000)
	// The first ones fill the socket's buffer and the queue.
	for i := 0; ; i++ {
		err := client.CallNoReply(context.Background(), "a", payload)
		if err != nil {
			checkStatus(t, err, hostcall.Overloaded, hostcall.FromClient)
			if !strings.Contains(err.Error(), "LargestQueue") {
				t.Errorf("it reads “%v”", err)
			}
			return
		}
		if i == 1000 {
			t.Fatal("600 MB are queued where 1 MiB may")
		}
	}
}

func TestCallsOfManyGoroutinesGetTheirOwnResults(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	const goroutines, calls = 32, 50
	var group sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		group.Add(1)
		go func(g int) {
			defer group.Done()
			for i := 0; i < calls; i++ {
				text := fmt.Sprintf("%d/%d", g, i)
				reply, err := client.Call(context.Background(), "echo", []byte(text))
				if err != nil || reply.Text() != text {
					t.Errorf("%s has become %v, %v", text, reply, err)
				}
			}
		}(g)
	}
	for i := 0; i < goroutines*calls; i++ {
		call := peer.expect(wire.Call)
		peer.result(call, hostcall.OK, string(call.Payload))
	}
	group.Wait()
}

func TestACallWithoutReplyIsSentAndForgotten(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	if err := client.CallNoReply(context.Background(), "log", []byte("line")); err != nil {
		t.Fatal(err)
	}
	if call := peer.expect(wire.Call); call.Flags != wire.NoReply || call.ID == 0 {
		t.Errorf("CALL is %+v", call)
	}
	client.Close()
	peer.expectEnd()
}

func TestJSONCallsEncodeAndDecode(t *testing.T) {
	type pair struct{ A, B int }
	client, peer := newFakeDaemon(t).connect()
	for _, test := range []struct {
		result string
		status hostcall.Status
	}{{`{"A":3,"B":4}`, hostcall.OK}, {`{"A":"no number"}`, hostcall.Serialization}, {``, hostcall.Serialization}} {
		reply := later(func() (pair, error) {
			return hostcall.CallJSON[pair](context.Background(), client, "swap", pair{1, 2})
		})
		call := peer.expect(wire.Call)
		if call.Encoding != 1 || string(call.Payload) != `{"A":1,"B":2}` {
			t.Errorf("CALL is %q", call.Payload)
		}
		peer.result(call, hostcall.OK, test.result)
		got, err := reply.get(t)
		if test.status == hostcall.OK {
			if err != nil || got != (pair{3, 4}) {
				t.Errorf("the result is %v, %v", got, err)
			}
		} else {
			checkStatus(t, err, test.status, hostcall.FromClient)
		}
	}
	_, err := hostcall.CallJSON[int](context.Background(), client, "swap", func() {})
	checkStatus(t, err, hostcall.Serialization, hostcall.FromClient)
}

func TestRepliesAndEventsDecodeJSON(t *testing.T) {
	number, text := 0, ""
	reply := hostcall.Reply{Payload: []byte("7"), CorrelationID: 4}
	event := hostcall.Event{Name: "a", Payload: []byte(`"x"`)}
	if err := reply.JSON(&number); err != nil || number != 7 {
		t.Errorf("the reply is %d, %v", number, err)
	}
	if err := event.JSON(&text); err != nil || text != "x" {
		t.Errorf("the event is %q, %v", text, err)
	}
	checkStatus(t, reply.JSON(&text), hostcall.Serialization, hostcall.FromClient)
	checkStatus(t, event.JSON(&number), hostcall.Serialization, hostcall.FromClient)
}

func TestTheTraceOfAContextGoesWithItsCalls(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx := hostcall.WithTrace(context.Background(), "00-aa-bb-01", "vendor=1")
	reply := laterCall(ctx, client, "a", "")
	call := peer.expect(wire.Call)
	if m := metadataOf(call); m["traceparent"] != "00-aa-bb-01" || m["tracestate"] != "vendor=1" {
		t.Errorf("the metadata are %v", m)
	}
	peer.result(call, hostcall.OK, "")
	reply.must(t)
	own := hostcall.WithMetadata(hostcall.Metadata{"traceparent": "00-own"})
	reply = laterCall(ctx, client, "a", "", own)
	call = peer.expect(wire.Call)
	if m := metadataOf(call); m["traceparent"] != "00-own" || len(m) != 1 {
		t.Errorf("the metadata are %v", m)
	}
	peer.result(call, hostcall.OK, "")
	reply.must(t)
}
