package hostcall_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

func TestClosingEndsEverythingAtOnce(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ended := make(chan error, 1)
	peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, nil
	})
	peer.invoke(5, 1, "")
	reply := laterCall(context.Background(), client, "a", "")
	peer.expect(wire.Call)
	stream := later(func() (*hostcall.Stream, error) { return client.Stream(context.Background(), "s", nil) })
	peer.expect(wire.Call)
	peer.barrier()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	client.Close()
	peer.expectEnd()
	if _, err := reply.get(t); !errors.Is(err, hostcall.ErrClosed) || err.Error() != "a: this client is closed" {
		t.Errorf("the error is %v", err)
	}
	if s := stream.must(t); s.Next() || !errors.Is(s.Err(), hostcall.ErrClosed) {
		t.Errorf("the stream has ended with %v", s.Err())
	}
	if err := receive(t, ended); err != context.Canceled {
		t.Errorf("the handler's context has ended with %v", err)
	}
	receive(t, client.Done())
	if client.Err() != nil {
		t.Errorf("the client has ended with %v", client.Err())
	}
	for _, err := range []error{
		client.CallNoReply(context.Background(), "a", nil), client.PublishNoReply(context.Background(), "a", nil),
		func() error { _, err := client.Handle("a", echo); return err }(),
		func() error { _, err := client.Ping(context.Background()); return err }(),
	} {
		if !errors.Is(err, hostcall.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestClosingDoesNotWaitForADaemonThatDoesNotRead(t *testing.T) {
	client, _ := newFakeDaemon(t).connect()
	for i := 0; i < 8; i++ {
		if err := client.CallNoReply(context.Background(), "a", make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	later(func() (int, error) { return 0, client.Close() }).must(t)
}

func TestShuttingDownFinishesWhatRuns(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	release := make(chan struct{})
	peer.register(client, "outer", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-release
		reply, err := client.Call(ctx, "inner", nil)
		if err != nil {
			return nil, err
		}
		return reply.Payload, nil
	})
	peer.invoke(5, 1, "")
	down := later(func() (int, error) { return 0, client.Shutdown(context.Background()) })
	peer.expect(wire.Goaway)
	ping := peer.expect(wire.Ping)
	// What the daemon sent before it knew runs too.
	peer.invoke(6, 1, "")
	peer.send(wire.Header{Kind: wire.Pong, ID: ping.ID}, "", nil, nil)
	if _, err := client.Call(context.Background(), "other", nil); !errors.Is(err, hostcall.ErrClosed) ||
		!strings.Contains(err.Error(), "shutting down") {
		t.Errorf("another call: %v", err)
	}
	close(release)
	for completed := 0; completed < 2; {
		switch frame := peer.next(); frame.Kind {
		case wire.Call:
			peer.result(frame, hostcall.OK, "inner")
		case wire.Complete:
			completed++
			if string(frame.Payload) != "inner" {
				t.Errorf("COMPLETE is %s %q", hostcall.Status(frame.Status), frame.Payload)
			}
		}
	}
	peer.expectEnd()
	down.must(t)
	if client.Err() != nil {
		t.Errorf("the client has ended with %v", client.Err())
	}
}

func TestShuttingDownEndsWithItsContext(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-ctx.Done()
		return nil, nil
	})
	peer.invoke(5, 1, "")
	peer.barrier()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	down := later(func() (int, error) { return 0, client.Shutdown(ctx) })
	_, err := down.get(t)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	receive(t, client.Done())
}

func TestShuttingDownSaysWhatTheLossOfTheConnectionHasCost(t *testing.T) {
	d := newFakeDaemon(t)
	for _, what := range []string{"a running call", "a request", "an outcome that was not sent", "nothing"} {
		t.Run(what, func(t *testing.T) {
			client, peer := d.connect()
			release := make(chan struct{})
			peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
				<-release
				return make([]byte, 8<<20), nil
			})
			if what != "nothing" && what != "a request" {
				peer.invoke(5, 1, "")
				peer.barrier()
			}
			if what == "a request" {
				laterCall(context.Background(), client, "a", "")
				peer.expect(wire.Call)
			}
			down := later(func() (int, error) { return 0, client.Shutdown(context.Background()) })
			peer.expect(wire.Goaway)
			peer.send(wire.Header{Kind: wire.Pong, ID: peer.expect(wire.Ping).ID}, "", nil, nil)
			if what == "an outcome that was not sent" {
				close(release)
				// Its beginning comes, and the rest does not fit into the socket.
				io.ReadFull(peer.connection, make([]byte, 1))
			}
			peer.connection.Close()
			_, err := down.get(t)
			if what == "nothing" {
				if err != nil {
					t.Error(err)
				}
			} else if !errors.Is(err, hostcall.ErrConnectionLost) || !strings.HasSuffix(err.Error(), "outcomes are lost") {
				t.Errorf("the error is %v", err)
			}
			if what != "an outcome that was not sent" {
				close(release)
			}
			receive(t, client.Done())
		})
	}
}

func TestClosingCutsAShutdownShortWhichSaysSo(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	peer.register(client, "hold", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-ctx.Done()
		return nil, nil
	})
	peer.invoke(5, 1, "")
	peer.barrier()
	down := later(func() (int, error) { return 0, client.Shutdown(context.Background()) })
	peer.expect(wire.Goaway)
	client.Close()
	if _, err := down.get(t); !errors.Is(err, hostcall.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

func TestShuttingDownWithoutAConnectionCloses(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	peer.connection.Close()
	wait(t, "the loss is noticed", func() bool { _, ok := client.Server(); return !ok })
	if err := client.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	receive(t, client.Done())
}

func TestClosingCutsAnAttemptToConnectShort(t *testing.T) {
	d := newFakeDaemon(t)
	client, peer := d.connect(hostcall.ReconnectDelays(time.Millisecond, time.Millisecond))
	peer.register(client, "a", 1, echo)
	peer.connection.Close()
	silent := d.accept()
	reply := laterCall(context.Background(), client, "a", "")
	client.Close()
	silent.expectEnd()
	if _, err := reply.get(t); !errors.Is(err, hostcall.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}
