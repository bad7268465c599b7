package hostcall_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

func TestConnectingTellsWhoIsThereAndWhoOneIs(t *testing.T) {
	d := newFakeDaemon(t)
	client := later(func() (*hostcall.Client, error) {
		return hostcall.Connect(context.Background(), hostcall.SocketPath(d.path), hostcall.ClientName("me/1\x00"))
	})
	d.listener.SetDeadline(time.Now().Add(patience))
	connection, err := d.listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	peer := &fakePeer{t, connection, wire.NewReader(connection, wire.ToDaemon, 1<<20)}
	hello := peer.expect(wire.Hello)
	if hello.Function != 1 || hello.Aux != 1 || metadataOf(hello)["client"] != "me/1" {
		t.Errorf("HELLO is %+v", hello)
	}
	if features := metadataOf(hello)["features"]; strings.Contains(features, "descriptors") {
		t.Errorf("the features are %s", features)
	}
	c := d.welcomeAndGet(peer, client)
	defer c.Close()
	server, ok := c.Server()
	if !ok || server.Program != "fake/1" || server.Session != 7 || server.LargestFrameBytes != 16777216 ||
		server.CallsInFlight != 4096 || len(server.Features) != 2 || len(server.Instance) != 32 {
		t.Errorf("the server is %+v, %v", server, ok)
	}
	if c.SocketPath() != d.path {
		t.Errorf("the path is %s", c.SocketPath())
	}
}

func (d *fakeDaemon) welcomeAndGet(p *fakePeer, client *future[*hostcall.Client]) *hostcall.Client {
	d.t.Helper()
	d.welcome(p)
	return client.must(d.t)
}

func TestAPingTellsThatTheDaemonHasSeenWhatCameBefore(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ping := later(func() (time.Duration, error) { return client.Ping(context.Background()) })
	frame := peer.expect(wire.Ping)
	peer.send(wire.Header{Kind: wire.Pong, ID: 12345}, "", nil, nil)
	peer.send(wire.Header{Kind: wire.Pong, ID: frame.ID}, "", nil, nil)
	if took := ping.must(t); took <= 0 {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ping = later(func() (time.Duration, error) { return client.Ping(ctx) })
	peer.expect(wire.Ping)
	cancel()
	_, err := ping.get(t)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
}

func TestADaemonThatIsNotThereIsAnErrorThatSaysWhatToDo(t *testing.T) {
	folder := shortFolder(t)
	path := filepath.Join(folder, "none.sock")
	_, err := hostcall.Connect(context.Background(), hostcall.SocketPath(path))
	if !errors.Is(err, hostcall.ErrCannotConnect) || !errors.Is(err, syscall.ENOENT) || err.Error() !=
		"cannot reach hostcalld at "+path+": no such file or directory (start it with: hostcalld, or set HOSTCALL_SOCKET)" {
		t.Errorf("the error is %v", err)
	}
	long := "/" + strings.Repeat("x", 200)
	_, err = hostcall.Connect(context.Background(), hostcall.SocketPath(long))
	if !errors.Is(err, hostcall.ErrCannotConnect) || !strings.Contains(err.Error(), "107 at most") {
		t.Errorf("the error is %v", err)
	}
}

func TestADaemonThatDoesNotAnswerIsGivenUp(t *testing.T) {
	d := newFakeDaemon(t)
	_, err := hostcall.Connect(
		context.Background(), hostcall.SocketPath(d.path), hostcall.ConnectTimeout(5*time.Millisecond))
	if !errors.Is(err, hostcall.ErrCannotConnect) || !strings.HasSuffix(err.Error(), "within 5ms (is it overloaded?)") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	_, err = hostcall.Connect(ctx, hostcall.SocketPath(d.path))
	if !errors.Is(err, hostcall.ErrCannotConnect) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}

func TestADaemonThatRefusesIsToldOf(t *testing.T) {
	withFrame := func(limit string) []byte { return wire.AppendEntry(nil, "max-frame", limit) }
	for what, test := range map[string]struct {
		frame    wire.Header
		metadata []byte
		payload  string
		status   hostcall.Status
		text     string
	}{
		"version": {
			wire.Header{Kind: wire.Welcome, ID: 1, Status: 18}, nil, "2 to 3", hostcall.VersionMismatch,
			"it speaks the protocol versions 2 to 3, and this client 1",
		},
		"too many": {
			wire.Header{Kind: wire.Goaway, Status: 14}, nil, "10000 connections, the most", hostcall.Overloaded,
			"OVERLOADED: 10000 connections, the most",
		},
		"another version": {
			wire.Header{Kind: wire.Welcome, ID: 1, Function: 2}, withFrame("1000"), "", hostcall.ProtocolViolation,
			"WELCOME chooses version 2, which was not offered",
		},
		"no limit": {
			wire.Header{Kind: wire.Welcome, ID: 1, Function: 1}, withFrame("-1"), "", hostcall.ProtocolViolation,
			"WELCOME without a max-frame",
		},
		"not greeting": {wire.Header{Kind: wire.Ping}, nil, "", hostcall.ProtocolViolation, "PING before WELCOME"},
		"garbage":      {wire.Header{Kind: 77}, nil, "", hostcall.ProtocolViolation, "unknown kind 77"},
	} {
		t.Run(what, func(t *testing.T) {
			d := newFakeDaemon(t)
			client := later(func() (*hostcall.Client, error) {
				return hostcall.Connect(context.Background(), hostcall.SocketPath(d.path))
			})
			peer := d.accept()
			peer.send(test.frame, "", test.metadata, []byte(test.payload))
			_, err := client.get(t)
			if !errors.Is(err, hostcall.ErrCannotConnect) || !errors.Is(err, test.status) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("the error is %v", err)
			}
			if test.status == hostcall.ProtocolViolation {
				peer.expect(wire.Goaway)
			}
			peer.expectEnd()
		})
	}
}
