package hostcall_test

import (
	"context"
	"errors"
	"math/rand"
	"strings"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

// Every one of these is a daemon that breaks the protocol: it is told so, and the connection is lost with an error.
func TestADaemonThatBreaksTheProtocolIsGivenUp(t *testing.T) {
	frame := func(h wire.Header, name string, metadata, payload []byte) func(uint64) []byte {
		return func(uint64) []byte { return wire.AppendFrame(nil, h, name, metadata, payload) }
	}
	for what, bytes := range map[string]func(callID uint64) []byte{
		"unknown kind":          frame(wire.Header{Kind: 99, ID: 1}, "", nil, nil),
		"a kind for the daemon": frame(wire.Header{Kind: wire.Call, ID: 1}, "a", nil, nil),
		"a second WELCOME":      frame(wire.Header{Kind: wire.Welcome, ID: 1, Function: 1}, "", nil, nil),
		"RESULT for nothing":    frame(wire.Header{Kind: wire.Result, ID: 1<<63 | 999}, "", nil, nil),
		"a flag without meaning": func(id uint64) []byte {
			return wire.AppendFrame(nil, wire.Header{Kind: wire.Result, ID: id, Flags: wire.Wait}, "", nil, nil)
		},
		"descriptors": func(id uint64) []byte {
			h := wire.Header{Kind: wire.Result, ID: id, Flags: wire.Descriptors}
			return wire.AppendFrame(nil, h, "", wire.AppendEntry(nil, "descriptors", "1"), nil)
		},
		"malformed metadata": func(id uint64) []byte {
			return wire.AppendFrame(nil, wire.Header{Kind: wire.Result, ID: id}, "", []byte{5, 'a'}, nil)
		},
		"a reserved status": func(id uint64) []byte {
			return wire.AppendFrame(nil, wire.Header{Kind: wire.Result, ID: id, Status: 50}, "", nil, nil)
		},
		"a reserved encoding": func(id uint64) []byte {
			return wire.AppendFrame(nil, wire.Header{Kind: wire.Result, ID: id, Encoding: 77}, "", nil, nil)
		},
		"parts that do not fit": func(id uint64) []byte {
			b := wire.AppendFrame(nil, wire.Header{Kind: wire.Result, ID: id}, "", nil, []byte("x"))
			b[26] = 200
			return b
		},
		"INVOKE of no handle": frame(wire.Header{Kind: wire.Invoke, ID: 1, Function: 9, Timeout: 1}, "", nil, nil),
		"ITEM for no call":    frame(wire.Header{Kind: wire.Item, ID: 1 << 63}, "", nil, nil),
		"ITEM for a call without items": func(id uint64) []byte {
			return wire.AppendFrame(nil, wire.Header{Kind: wire.Item, ID: id}, "", nil, nil)
		},
		"EVENT without a subscription": frame(wire.Header{Kind: wire.Event, ID: 1}, "a", nil, nil),
		"a zero id":                    frame(wire.Header{Kind: wire.Result}, "", nil, nil),
		"PING of 65 bytes":             frame(wire.Header{Kind: wire.Ping, ID: 1}, "", nil, make([]byte, 65)),
		"GOAWAY that is too large":     frame(wire.Header{Kind: wire.Goaway}, "", nil, make([]byte, 5000)),
	} {
		t.Run(what, func(t *testing.T) {
			client, peer := newFakeDaemon(t).connect(hostcall.LargestFrame(4096))
			reply := laterCall(context.Background(), client, "a", "")
			peer.connection.Write(bytes(peer.expect(wire.Call).ID))
			goaway := peer.expect(wire.Goaway)
			if hostcall.Status(goaway.Status) != hostcall.ProtocolViolation || len(goaway.Payload) == 0 {
				t.Errorf("GOAWAY says %s %q", hostcall.Status(goaway.Status), goaway.Payload)
			}
			peer.expectEnd()
			_, err := reply.get(t)
			if !errors.Is(err, hostcall.ErrConnectionLost) || !strings.Contains(err.Error(), string(goaway.Payload)) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestAWorkersDaemonThatBreaksTheProtocolIsGivenUp(t *testing.T) {
	for what, headers := range map[string][]wire.Header{
		"INVOKE twice":                 {{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 9999}, {Kind: wire.Invoke, ID: 5, Function: 1}},
		"INVOKE with a request's id":   {{Kind: wire.Invoke, ID: 1<<63 | 5, Function: 1, Timeout: 9999}},
		"ITEM without arguments":       {{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 9999}, {Kind: wire.Item, ID: 5}},
		"ITEM without credit":          {{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 9999, Flags: wire.Open}, {Kind: wire.Item, ID: 5}},
		"a pattern's INVOKE, no name":  {{Kind: wire.Invoke, ID: 5, Function: 2, Timeout: 9999}},
		"ITEM behind the last":         {{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 9999, Flags: wire.Open}, {Kind: wire.Item, ID: 5, Flags: wire.Last}, {Kind: wire.Item, ID: 5, Flags: wire.Last}},
		"ITEM at the wrong place":      {{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 9999, Flags: wire.Open}, {Kind: wire.Item, ID: 5, Flags: wire.Last, Aux: 3}},
		"a handle that is given again": {{Kind: wire.Result, ID: 0, Aux: 1}},
	} {
		t.Run(what, func(t *testing.T) {
			client, peer := newFakeDaemon(t).connect()
			ended := make(chan error, 2)
			hold := func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, nil
			}
			peer.register(client, "a", 1, hold)
			peer.register(client, "b.*", 2, hold)
			runs := false
			for _, header := range headers {
				if header.Kind == wire.Result {
					go client.Handle("c", hold)
					header.ID = peer.expect(wire.Register).ID
				}
				runs = runs || header.Kind == wire.Invoke && header.Function == 1 && header.ID>>63 == 0
				peer.send(header, "", nil, nil)
			}
			if status := hostcall.Status(peer.expect(wire.Goaway).Status); status != hostcall.ProtocolViolation {
				t.Errorf("GOAWAY says %s", status)
			}
			peer.expectEnd()
			if runs && receive(t, ended) != context.Canceled {
				t.Error("the handler was not cancelled")
			}
			client.Close()
		})
	}
}

// Whatever bytes a daemon sends, the client ends its calls, leaves nothing behind, and does not crash.
func TestRandomBytesFromTheDaemonEndTheConnectionAtWorst(t *testing.T) {
	for seed := int64(0); seed < 60; seed++ {
		random := rand.New(rand.NewSource(seed))
		client, peer := newFakeDaemon(t).connect(hostcall.NoReconnect(), hostcall.LargestFrame(100_000))
		hold := func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
			for a := r.Arguments(); a.Next(); {
			}
			return r.Payload, nil
		}
		peer.register(client, "a", 1, hold)
		subscription := peer.subscribe(client, "*")
		reply := laterCall(context.Background(), client, "b", "")
		id := peer.expect(wire.Call).ID
		kinds := []wire.Kind{
			wire.Result, wire.Invoke, wire.Cancel, wire.Rejected, wire.Item, wire.Credit, wire.Event, wire.Ping, wire.Pong,
		}
		ids := []uint64{id, 1, 2, 3, 1 << 63, 0}
		var stream []byte
		for len(stream) < 3000 {
			header := wire.Header{
				Kind: kinds[random.Intn(len(kinds))], ID: ids[random.Intn(len(ids))], Function: uint32(random.Intn(3)),
				Timeout: uint32(random.Intn(100)), Aux: uint32(random.Intn(3)), Flags: wire.Flags(random.Intn(2)),
			}
			stream = wire.AppendFrame(stream, header, []string{"", "a", "b.c"}[random.Intn(3)], nil, make([]byte, random.Intn(50)))
		}
		for i := 0; i < random.Intn(5); i++ {
			stream[random.Intn(len(stream))] = byte(random.Intn(256))
		}
		go func() {
			peer.connection.SetWriteDeadline(time.Now().Add(patience))
			peer.connection.Write(stream)
			peer.connection.Close()
		}()
		if _, err := reply.get(t); err != nil {
			var failure *hostcall.Error
			if !errors.As(err, &failure) {
				t.Errorf("seed %d: the error is %v", seed, err)
			}
		}
		for subscription.Next() {
		}
		receive(t, client.Done())
		if !errors.Is(client.Err(), hostcall.ErrConnectionLost) {
			t.Errorf("seed %d: the client has ended with %v", seed, client.Err())
		}
		client.Close()
	}
}

func TestADaemonThatCallsAndNeverReadsIsGivenUp(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.LargestQueue(64<<10), hostcall.NoReconnect())
	peer.register(client, "a", 1, func(context.Context, *hostcall.Request) ([]byte, error) {
		return make([]byte, 4096), nil
	})
	peer.connection.SetWriteDeadline(time.Now().Add(patience))
	for id := uint64(1); ; {
		var many []byte
		for end := id + 1000; id < end; id++ {
			many = wire.AppendFrame(many, wire.Header{Kind: wire.Invoke, ID: id, Function: 1, Timeout: 60_000}, "", nil, nil)
		}
		if _, err := peer.connection.Write(many); err != nil {
			break
		}
		if id > 100_000 {
			t.Fatal("the outcomes of 100,000 calls are waiting to be sent")
		}
	}
	receive(t, client.Done())
	if !strings.Contains(client.Err().Error(), "does not read") {
		t.Errorf("the client has ended with %v", client.Err())
	}
}

func TestADaemonThatPingsAndNeverReadsIsGivenUp(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.LargestQueue(64<<10), hostcall.NoReconnect())
	ping := wire.AppendFrame(nil, wire.Header{Kind: wire.Ping, ID: 1}, "", nil, make([]byte, 64))
	var many []byte
	for len(many) < 1<<20 {
		many = append(many, ping...)
	}
	peer.connection.SetWriteDeadline(time.Now().Add(patience))
	for written := 0; ; written += len(many) {
		if _, err := peer.connection.Write(many); err != nil {
			break
		}
		if written > 1<<28 {
			t.Fatal("256 MiB of pings are waiting to be answered")
		}
	}
	receive(t, client.Done())
	if !strings.Contains(client.Err().Error(), "does not read") {
		t.Errorf("the client has ended with %v", client.Err())
	}
}
