package hostcall_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

func echo(_ context.Context, r *hostcall.Request) ([]byte, error) { return r.Payload, nil }

func TestALostConnectionFailsCallsAtOnceAndTheNextCallConnects(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect()
	reply := laterCall(context.Background(), client, "a", "")
	peer.expect(wire.Call)
	peer.connection.Close()
	_, err := reply.get(t)
	if !errors.Is(err, hostcall.ErrConnectionLost) || !strings.HasPrefix(err.Error(), "a: the connection to hostcalld at ") {
		t.Errorf("the error is %v", err)
	}
	if _, err := client.Ping(context.Background()); !errors.Is(err, hostcall.ErrConnectionLost) {
		t.Errorf("a ping without a connection: %v", err)
	}
	if _, ok := client.Server(); ok {
		t.Error("there is a server without a connection")
	}
	reply = laterCall(context.Background(), client, "a", "")
	peer = d.welcome(d.accept())
	peer.result(peer.expect(wire.Call), hostcall.OK, "again")
	if got := reply.must(t); got.Text() != "again" {
		t.Errorf("the reply is %v", got)
	}
}

func TestALostConnectionTellsEverybodyWhoWaits(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx := context.Background()
	ended := []*future[int]{
		later(func() (int, error) { _, err := client.Call(ctx, "a", nil); return 0, err }),
		later(func() (int, error) { return client.Publish(ctx, "a", nil) }),
		later(func() (int, error) { _, err := client.Subscribe(ctx, "a"); return 0, err }),
		later(func() (int, error) { _, err := client.Handle("a", echo); return 0, err }),
		later(func() (int, error) { _, err := client.Ping(ctx); return 0, err }),
		later(func() (int, error) {
			stream, err := client.Stream(ctx, "a", nil, hostcall.SendArguments())
			if err != nil {
				return 0, err
			}
			return 0, stream.Send(ctx, nil)
		}),
	}
	for range ended {
		peer.next()
	}
	peer.connection.Close()
	for i, e := range ended {
		if _, err := e.get(t); !errors.Is(err, hostcall.ErrConnectionLost) {
			t.Errorf("%d has ended with %v", i, err)
		}
	}
}

func TestACallWhileTheDaemonIsAwaySaysSo(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect()
	d.listener.Close()
	peer.connection.Close()
	wait(t, "the loss is noticed", func() bool { _, ok := client.Server(); return !ok })
	_, err := client.Call(context.Background(), "a", nil)
	if !errors.Is(err, hostcall.ErrCannotConnect) ||
		!strings.Contains(err.Error(), "no such file or directory (start it with: hostcalld, or set HOSTCALL_SOCKET)") {
		t.Errorf("the error is %v", err)
	}
	d.listen()
	reply := laterCall(context.Background(), client, "a", "")
	peer = d.welcome(d.accept())
	peer.result(peer.expect(wire.Call), hostcall.OK, "")
	reply.must(t)
}

func TestRegistrationsAndSubscriptionsComeBack(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect()
	ended := make(chan error, 1)
	peer.register(client, "a", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		if r.Text() == "hold" {
			<-ctx.Done()
			ended <- ctx.Err()
		}
		return r.Payload, nil
	}, hostcall.Concurrency(3))
	gone := peer.register(client, "gone", 2, echo)
	subscription := peer.subscribe(client, "e.*")
	unregistered := later(func() (int, error) { return 0, gone.Unregister(context.Background()) })
	peer.result(peer.expect(wire.Unregister), hostcall.OK, "")
	unregistered.must(t)
	peer.invoke(5, 1, "hold")
	peer.barrier()
	peer.connection.Close()
	if err := receive(t, ended); err != context.Canceled {
		t.Errorf("the handler's context has ended with %v", err)
	}
	peer = d.welcome(d.accept())
	if frame := peer.acceptRegistration("a", 9); frame.Aux != 3 {
		t.Errorf("REGISTER is %+v", frame)
	}
	peer.result(peer.expect(wire.Subscribe), hostcall.OK, "")
	peer.invoke(6, 9, "again")
	peer.complete(6, hostcall.OK, "again")
	for i, followsGap := range []bool{true, false} {
		peer.event(uint64(i+1), "e.x", "", 0)
		if !subscription.Next() || subscription.Event().FollowsGap != followsGap {
			t.Errorf("event %d is %+v", i, subscription.Event())
		}
	}
	peer.barrier()
}

func TestARegistrationThatIsNotTakenBackIsTriedAgain(t *testing.T) {
	told := make(chan hostcall.Notice, 10)
	d := newFakeDaemon(t)
	client, peer := d.connect(
		hostcall.ReconnectDelays(time.Millisecond, time.Millisecond), hostcall.OnNotice(func(n hostcall.Notice) { told <- n }))
	peer.register(client, "a", 1, echo)
	subscription := peer.subscribe(client, "e")
	peer.connection.Close()
	peer = d.welcome(d.accept())
	peer.result(peer.expect(wire.Register), hostcall.AlreadyRegistered, "a: another has it")
	peer.result(peer.expect(wire.Subscribe), hostcall.Overloaded, "e: too many")
	for again := 0; again < 2; {
		switch frame := peer.next(); frame.Kind {
		case wire.Register:
			peer.send(wire.Header{Kind: wire.Result, ID: frame.ID, Aux: 4}, "", nil, nil)
			again++
		case wire.Subscribe:
			peer.result(frame, hostcall.OK, "")
			again++
		}
	}
	peer.invoke(6, 4, "x")
	peer.complete(6, hostcall.OK, "x")
	peer.event(1, "e", "", 0)
	if !subscription.Next() || !subscription.Event().FollowsGap {
		t.Errorf("the event is %+v", subscription.Event())
	}
	kinds := map[hostcall.NoticeKind]int{}
	for len(kinds) < 4 {
		kinds[receive(t, told).Kind]++
	}
	if kinds[hostcall.RegistrationFailed] == 0 || kinds[hostcall.SubscriptionFailed] == 0 || kinds[hostcall.Disconnected] == 0 {
		t.Errorf("the notices are %v", kinds)
	}
}

func TestASubscriptionThatIsDeniedAfterAReconnectEnds(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect(hostcall.ReconnectDelays(time.Millisecond, time.Millisecond))
	subscription := peer.subscribe(client, "e")
	peer.connection.Close()
	peer = d.welcome(d.accept())
	peer.result(peer.expect(wire.Subscribe), hostcall.Denied, "")
	if subscription.Next() {
		t.Error("an event has come out of nothing")
	}
	checkStatus(t, subscription.Err(), hostcall.Denied, hostcall.FromDaemon)
}

func TestASubscriptionEndsWhereTheNextDaemonHasNoEvents(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect(hostcall.ReconnectDelays(time.Millisecond, time.Millisecond))
	subscription := peer.subscribe(client, "e")
	peer.connection.Close()
	d.features = "streams"
	peer = d.welcome(d.accept())
	ended := later(func() (bool, error) { return subscription.Next(), nil })
	if ended.must(t) {
		t.Error("an event has come out of nothing")
	}
	checkStatus(t, subscription.Err(), hostcall.Unavailable, hostcall.FromClient)
	if !strings.Contains(subscription.Err().Error(), "e: UNAVAILABLE: the daemon, fake/1, has no events") {
		t.Errorf("it reads “%v”", subscription.Err())
	}
	// It does not come back either.
	d.features = "streams,events"
	peer.connection.Close()
	wait(t, "the loss is noticed", func() bool { _, ok := client.Server(); return !ok })
	reply := laterCall(context.Background(), client, "a", "")
	peer = d.welcome(d.accept())
	peer.result(peer.expect(wire.Call), hostcall.OK, "")
	reply.must(t)
}

func TestAWorkerTriesAgainUntilTheDaemonIsBack(t *testing.T) {
	told := make(chan hostcall.Notice, 300)
	d := newFakeDaemon(t)
	client, peer := d.connect(
		hostcall.ReconnectDelays(time.Millisecond, 2*time.Millisecond), hostcall.OnNotice(func(n hostcall.Notice) { told <- n }))
	peer.register(client, "a", 1, echo)
	d.listener.Close()
	peer.connection.Close()
	for failed := 0; failed < 3; {
		n := receive(t, told)
		if n.Kind == hostcall.ReconnectFailed {
			failed++
			if n.RetryAfter <= 0 || n.RetryAfter > 2*time.Millisecond || !errors.Is(n.Err, hostcall.ErrCannotConnect) {
				t.Errorf("the notice is %v", n)
			}
		}
	}
	d.listen()
	peer = d.welcome(d.accept())
	peer.acceptRegistration("a", 1)
}

func TestWithoutReconnectingTheClientEndsWithItsConnection(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.NoReconnect())
	peer.register(client, "a", 1, echo)
	peer.connection.Close()
	receive(t, client.Done())
	if !errors.Is(client.Err(), hostcall.ErrConnectionLost) {
		t.Errorf("the client has ended with %v", client.Err())
	}
	wait(t, "calls are refused", func() bool {
		_, err := client.Call(context.Background(), "a", nil)
		return errors.Is(err, hostcall.ErrConnectionLost)
	})
}

func TestASilentDaemonIsAskedAndThenGivenUp(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect(hostcall.LivenessLimit(30 * time.Millisecond))
	reply := laterCall(context.Background(), client, "a", "")
	peer.expect(wire.Call)
	peer.expect(wire.Ping)
	_, err := reply.get(t)
	if !errors.Is(err, hostcall.ErrConnectionLost) || !strings.Contains(err.Error(), "has answered nothing for 30ms") {
		t.Errorf("the error is %v", err)
	}
}

func TestAnIdleDaemonThatNothingDependsOnIsNotAsked(t *testing.T) {
	const limit = 150 * time.Millisecond
	client, peer := newFakeDaemon(t).connect(hostcall.LivenessLimit(limit))
	begun := time.Now()
	wait(t, "the limit has passed", func() bool { return time.Since(begun) > limit })
	// The call comes first, so that nothing was sent before.
	reply := laterCall(context.Background(), client, "a", "")
	peer.result(peer.expect(wire.Call), hostcall.OK, "")
	reply.must(t)
}

func TestADaemonThatSaysGoawayIsLeftForTheNextOne(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect(hostcall.ReconnectDelays(time.Millisecond, time.Millisecond))
	release := make(chan struct{})
	peer.register(client, "a", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-release
		return r.Payload, nil
	})
	peer.invoke(5, 1, "x")
	peer.send(wire.Header{Kind: wire.Goaway, Status: uint8(hostcall.ShuttingDown)}, "", nil, []byte("stopping"))
	peer.barrier()
	_, err := client.Call(context.Background(), "b", nil)
	checkStatus(t, err, hostcall.ShuttingDown, hostcall.FromDaemon)
	close(release)
	peer.complete(5, hostcall.OK, "x")
	peer.connection.Close()
	peer = d.welcome(d.accept())
	peer.acceptRegistration("a", 1)
	// Any other GOAWAY is the end of the connection, and says why.
	reply := laterCall(context.Background(), client, "b", "")
	peer.expect(wire.Call)
	peer.send(wire.Header{Kind: wire.Goaway, Status: uint8(hostcall.Overloaded)}, "", nil, []byte("too many connections"))
	_, err = reply.get(t)
	failure := checkStatus(t, err, hostcall.Overloaded, hostcall.FromDaemon)
	if !errors.Is(err, hostcall.ErrConnectionLost) || !strings.Contains(failure.Message, "OVERLOADED from the daemon: too many") {
		t.Errorf("the error is %v", err)
	}
}
