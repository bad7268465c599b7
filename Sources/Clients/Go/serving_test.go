package hostcall_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

func TestARegistrationSaysOnTheWireWhatWasAskedFor(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	handler := func(context.Context, *hostcall.Request) ([]byte, error) { return nil, nil }
	registration := later(func() (*hostcall.Registration, error) {
		return client.Handle("files.*", handler, hostcall.Concurrency(8), hostcall.Exclusive(),
			hostcall.LongestRun(1500*time.Microsecond), hostcall.Idempotent(), hostcall.CallerIdentity())
	})
	frame := peer.acceptRegistration("files.*", 3)
	if frame.Aux != 8 || frame.Timeout != 2 {
		t.Errorf("REGISTER is %+v", frame)
	}
	if m := metadataOf(frame); len(m) != 3 || m["mode"] != "exclusive" || m["idempotent"] != "true" || m["caller"] != "true" {
		t.Errorf("the metadata are %v", m)
	}
	if got := registration.must(t); got.Name() != "files.*" {
		t.Errorf("the name is %s", got.Name())
	}
	replacing := later(func() (*hostcall.Registration, error) { return client.Handle("b", handler, hostcall.Replace()) })
	if m := metadataOf(peer.acceptRegistration("b", 4)); len(m) != 1 || m["mode"] != "replace" {
		t.Errorf("the metadata are %v", m)
	}
	replacing.must(t)
}

func TestARefusedRegistrationIsToldToWhoeverAsked(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	registration := later(func() (*hostcall.Registration, error) {
		return client.Handle("a", func(context.Context, *hostcall.Request) ([]byte, error) { return nil, nil })
	})
	peer.result(peer.expect(wire.Register), hostcall.AlreadyRegistered, "a: somebody has it")
	_, err := registration.get(t)
	checkStatus(t, err, hostcall.AlreadyRegistered, hostcall.FromDaemon)
	if err.Error() != "a: ALREADY_REGISTERED from the daemon: somebody has it" {
		t.Errorf("it reads “%v”", err)
	}
}

func TestAHandlerGetsTheCallWhole(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	requests := make(chan *hostcall.Request, 2)
	peer.register(client, "files.*", 5, func(ctx context.Context, request *hostcall.Request) ([]byte, error) {
		deadline, ok := ctx.Deadline()
		if !ok || !deadline.Equal(request.Deadline) {
			t.Errorf("the context's deadline is %v, the request's %v", deadline, request.Deadline)
		}
		requests <- request
		return []byte("result"), nil
	})
	metadata := []byte{}
	for key, value := range map[string]string{
		"k": "v", "hostcall-caller-uid": "1000", "hostcall-caller-gid": "100", "hostcall-caller-pid": "4711",
		"hostcall-caller-session": "12",
	} {
		metadata = wire.AppendEntry(metadata, key, value)
	}
	begun := time.Now()
	peer.send(wire.Header{
		Kind: wire.Invoke, ID: 77, Function: 5, Timeout: 5000, Encoding: 1, Flags: wire.Idempotent,
	}, "files.read", metadata, []byte("payload"))
	peer.complete(77, hostcall.OK, "result")
	request := receive(t, requests)
	if request.Function != "files.read" || request.Text() != "payload" || request.Encoding != hostcall.JSONEncoding ||
		request.CorrelationID != 77 || !request.IsIdempotent || request.Metadata["k"] != "v" || request.TakesItems() {
		t.Errorf("the request is %+v", request)
	}
	if left := request.Deadline.Sub(begun); left < 5*time.Second || left > 5*time.Second+patience {
		t.Errorf("%v were left, of 5 s", left)
	}
	caller, ok := request.Caller()
	if !ok || caller != (hostcall.Caller{UserID: 1000, GroupID: 100, ProcessID: 4711, Session: 12}) {
		t.Errorf("the caller is %+v, %v", caller, ok)
	}
	if _, ok := (&hostcall.Request{}).Caller(); ok {
		t.Error("a request that does not say has a caller")
	}
}

type spoilt struct{}

func (spoilt) Error() string { panic("the error itself") }

func TestWhatAHandlerComesToIsTheOutcome(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	var nothing *hostcall.Failure
	var handler hostcall.ReplyHandler
	registration := later(func() (*hostcall.Registration, error) {
		return client.HandleReply("a", func(ctx context.Context, r *hostcall.Request) (*hostcall.Reply, error) {
			return handler(ctx, r)
		})
	})
	peer.acceptRegistration("a", 1)
	registration.must(t)
	returning := func(reply *hostcall.Reply, err error) hostcall.ReplyHandler {
		return func(context.Context, *hostcall.Request) (*hostcall.Reply, error) { return reply, err }
	}
	for i, test := range []struct {
		handler  hostcall.ReplyHandler
		status   hostcall.Status
		payload  string
		encoding uint8
		metadata string
	}{
		{returning(nil, nil), hostcall.OK, "", 0, ""},
		{
			returning(&hostcall.Reply{Payload: []byte("{}"), Encoding: 1, Metadata: hostcall.Metadata{"k": "v"}}, nil),
			hostcall.OK, "{}", 1, "v",
		},
		{returning(nil, errors.New("no such user")), hostcall.Failed, "no such user", 0, ""},
		{
			returning(nil, fmt.Errorf("wrapped: %w", &hostcall.Failure{
				Status: 200, Payload: []byte{1, 2}, Encoding: 130, Metadata: hostcall.Metadata{"k": "v"},
			})), 200, "\x01\x02", 130, "v",
		},
		{returning(nil, &hostcall.Failure{Payload: []byte("x")}), hostcall.Failed, "x", 0, ""},
		{returning(nil, &hostcall.Failure{Status: hostcall.Denied, Payload: []byte("x")}), hostcall.Failed, "x", 0, ""},
		{returning(nil, context.Canceled), hostcall.Failed, "context canceled", 0, ""},
		{
			returning(&hostcall.Reply{Encoding: 9}, nil), hostcall.Failed,
			"the handler's reply cannot be sent: the encoding 9 is reserved", 0, "",
		},
		{
			returning(&hostcall.Reply{Metadata: hostcall.Metadata{"K": ""}}, nil), hostcall.Failed,
			"the handler's reply cannot be sent: the metadata key \"K\" is not 1 to 64 of the characters a-z 0-9 -", 0, "",
		},
		{
			func(context.Context, *hostcall.Request) (*hostcall.Reply, error) { panic("index out of luck") },
			hostcall.Panic, "index out of luck", 0, "",
		},
		{
			func(context.Context, *hostcall.Request) (*hostcall.Reply, error) { panic(nil) },
			hostcall.Panic, "the handler has ended its goroutine, and not returned", 0, "",
		},
		{
			func(context.Context, *hostcall.Request) (*hostcall.Reply, error) { runtime.Goexit(); return nil, nil },
			hostcall.Panic, "the handler has ended its goroutine, and not returned", 0, "",
		},
		{returning(nil, spoilt{}), hostcall.Panic, "the error itself", 0, ""},
		{returning(nil, nothing), hostcall.Panic, "runtime error: invalid memory address or nil pointer dereference", 0, ""},
	} {
		handler = test.handler
		id := uint64(100 + i)
		peer.invoke(id, 1, "")
		frame := peer.expect(wire.Complete)
		if frame.ID != id || hostcall.Status(frame.Status) != test.status || string(frame.Payload) != test.payload ||
			frame.Encoding != test.encoding || metadataOf(frame)["k"] != test.metadata {
			t.Errorf("%d: COMPLETE is %+v; expected %+v", i, frame, test)
		}
	}
}

func TestAPanicIsNoticedWithItsStack(t *testing.T) {
	told := make(chan hostcall.Notice, 10)
	client, peer := newFakeDaemon(t).connect(hostcall.OnNotice(func(n hostcall.Notice) { told <- n }))
	peer.register(client, "a", 1, func(context.Context, *hostcall.Request) ([]byte, error) { panic("ouch") })
	peer.invoke(5, 1, "")
	peer.complete(5, hostcall.Panic, "ouch")
	if n := receive(t, told); n.Kind != hostcall.Connected {
		t.Errorf("the first notice is %v", n)
	}
	n := receive(t, told)
	if n.Kind != hostcall.HandlerPanicked || n.CorrelationID != 5 ||
		!strings.Contains(n.String(), "handler panicked: a: ouch (call 5)") || !strings.Contains(n.String(), "serving_test.go") {
		t.Errorf("the notice is %v", n)
	}
}

func TestACancelledHandlersContextEndsAndItsOutcomeReachesNobody(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-ctx.Done()
		if ctx.Err() != context.Canceled {
			t.Errorf("the context's error is %v", ctx.Err())
		}
		return []byte("too late"), nil
	})
	peer.invoke(5, 1, "")
	peer.barrier() // It runs, and PONG comes at once all the same.
	peer.send(wire.Header{Kind: wire.Cancel, ID: 5, Status: uint8(hostcall.CallerLost)}, "", nil, nil)
	peer.complete(5, hostcall.Cancelled, "")
	// One for a call that has ended does nothing.
	peer.send(wire.Header{Kind: wire.Cancel, ID: 5, Status: uint8(hostcall.Timeout)}, "", nil, nil)
	peer.barrier()
}

func TestAHandlerThatRunsOutOfTimeLeavesItToTheDaemonToSaySo(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(patience))
	handlerEnds := make(chan struct{})
	peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		defer close(handlerEnds)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 1}, "", nil, nil)
	receive(t, handlerEnds)
	peer.barrier() // Nothing has been completed yet.
	peer.send(wire.Header{Kind: wire.Cancel, ID: 5, Status: uint8(hostcall.Timeout)}, "", nil, nil)
	peer.complete(5, hostcall.Cancelled, "")
}

func TestAHandlerThatRunsOutOfTimeIsCompletedWithoutTheDaemonsWordToo(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(time.Millisecond))
	peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 1}, "", nil, nil)
	peer.complete(5, hostcall.Timeout, "context deadline exceeded")
}

func TestCallsOfAHandlerInheritDeadlineCancellationAndTrace(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	peer.register(client, "outer", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		reply, err := client.Call(ctx, "inner", []byte("x"))
		if err != nil {
			return nil, err
		}
		return reply.Payload, nil
	})
	metadata := wire.AppendEntry(nil, "traceparent", "00-aa")
	metadata = wire.AppendEntry(metadata, "tracestate", "s")
	metadata = wire.AppendEntry(metadata, "other", "stays")
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 20_000}, "", metadata, nil)
	call := peer.expect(wire.Call)
	if call.Timeout == 0 || call.Timeout > 20_000 {
		t.Errorf("the timeout is %d ms, of 20,000", call.Timeout)
	}
	if m := metadataOf(call); len(m) != 2 || m["traceparent"] != "00-aa" || m["tracestate"] != "s" {
		t.Errorf("the metadata are %v", m)
	}
	peer.send(wire.Header{Kind: wire.Cancel, ID: 5, Status: uint8(hostcall.Cancelled)}, "", nil, nil)
	if cancel := peer.expect(wire.Cancel); cancel.ID != call.ID {
		t.Errorf("CANCEL has the id %d, the call %d", cancel.ID, call.ID)
	}
	peer.result(call, hostcall.Cancelled, "")
	peer.complete(5, hostcall.Cancelled, "")
}

func TestRejectedCompletionsAreNoticedAndBreakNothing(t *testing.T) {
	told := make(chan hostcall.Notice, 10)
	_, peer := newFakeDaemon(t).connect(hostcall.OnNotice(func(n hostcall.Notice) { told <- n }))
	peer.send(wire.Header{Kind: wire.Rejected, ID: 9, Status: uint8(hostcall.Late)}, "", nil, nil)
	peer.barrier()
	receive(t, told)
	n := receive(t, told)
	if n.Kind != hostcall.CompletionRejected || n.CorrelationID != 9 || !errors.Is(n.Err, hostcall.Late) {
		t.Errorf("the notice is %v", n)
	}
	if n.String() != "completion rejected: LATE from the daemon: a completion was not taken (call 9)" {
		t.Errorf("it reads %s", n)
	}
}

func TestACallThatIsTooLargeIsRefusedByItsWorker(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.LargestFrame(1024))
	peer.register(client, "a", 1, func(context.Context, *hostcall.Request) ([]byte, error) { return nil, nil })
	peer.invoke(5, 1, strings.Repeat("x", 2000))
	frame := peer.expect(wire.Complete)
	if hostcall.Status(frame.Status) != hostcall.BufferTooSmall || !strings.Contains(string(frame.Payload), "LargestFrame") {
		t.Errorf("COMPLETE is %s %q", hostcall.Status(frame.Status), frame.Payload)
	}
	peer.barrier()
}

func TestAResultLargerThanMaxFrameGoesToTheDaemonWhichRefusesIt(t *testing.T) {
	d := newFakeDaemon(t)
	d.maxFrame = "1000"
	client, peer := d.connect()
	peer.register(client, "a", 1, func(context.Context, *hostcall.Request) ([]byte, error) { return make([]byte, 1001), nil })
	peer.invoke(5, 1, "")
	if frame := peer.expect(wire.Complete); frame.Size != 1001 || frame.ID != 5 {
		t.Errorf("COMPLETE is %+v", frame)
	}
}

func TestUnregisteringWaitsForTheDaemonAndTwiceIsFine(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	registration := peer.register(client, "a", 3, func(context.Context, *hostcall.Request) ([]byte, error) { return nil, nil })
	ended := later(func() (int, error) { return 0, registration.Unregister(context.Background()) })
	frame := peer.expect(wire.Unregister)
	if frame.Function != 3 {
		t.Errorf("UNREGISTER has the handle %d", frame.Function)
	}
	// One that was on its way is answered.
	peer.invoke(8, 3, "")
	peer.complete(8, hostcall.OK, "")
	peer.result(frame, hostcall.OK, "")
	ended.must(t)
	if err := registration.Unregister(context.Background()); err != nil {
		t.Error(err)
	}
	peer.barrier()
}

func TestJSONHandlersDecodeAndEncode(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	registration := later(func() (*hostcall.Registration, error) {
		return hostcall.HandleJSON(client, "sum", func(ctx context.Context, numbers []int) (any, error) {
			sum := 0
			for _, n := range numbers {
				sum += n
			}
			if sum == 0 {
				return func() {}, nil
			}
			return sum, nil
		})
	})
	peer.acceptRegistration("sum", 1)
	registration.must(t)
	peer.invoke(1, 1, "[1,2,3]")
	frame := peer.expect(wire.Complete)
	if frame.Encoding != 1 || string(frame.Payload) != "6" {
		t.Errorf("COMPLETE is %+v", frame)
	}
	for _, argument := range []string{"no JSON", "[]"} {
		peer.invoke(2, 1, argument)
		frame := peer.expect(wire.Complete)
		if hostcall.Status(frame.Status) != hostcall.Serialization || len(frame.Payload) == 0 {
			t.Errorf("COMPLETE is %s %q", hostcall.Status(frame.Status), frame.Payload)
		}
	}
}
