package hostcall_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

// patience is how long a test waits for what has to come; none waits that long where all is well.
const patience = 10 * time.Second

// fakeDaemon plays the daemon, byte by byte.
type fakeDaemon struct {
	t        *testing.T
	listener *net.UnixListener
	path     string
	maxFrame string
	features string
}

// fakePeer is the fake daemon's end of one connection.
type fakePeer struct {
	t          *testing.T
	connection net.Conn
	reader     *wire.Reader
}

func newFakeDaemon(t *testing.T) *fakeDaemon {
	t.Helper()
	checkGoroutines(t)
	d := &fakeDaemon{
		t: t, path: filepath.Join(shortFolder(t), "hostcall.sock"), maxFrame: "16777216", features: "streams,events",
	}
	d.listen()
	return d
}

// shortFolder is a folder for sockets, whose paths may not be long; that of t.TempDir has the test's name in it.
func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "hostcall")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

func (d *fakeDaemon) listen() {
	d.t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.path, Net: "unix"})
	if err != nil {
		d.t.Fatal(err)
	}
	d.listener = listener
	d.t.Cleanup(func() { listener.Close() })
}

// accept takes a connection and its HELLO.
func (d *fakeDaemon) accept() *fakePeer {
	d.t.Helper()
	d.listener.SetDeadline(time.Now().Add(patience))
	connection, err := d.listener.Accept()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { connection.Close() })
	p := &fakePeer{d.t, connection, wire.NewReader(connection, wire.ToDaemon, 1<<30)}
	p.expect(wire.Hello)
	return p
}

// welcome answers HELLO.
func (d *fakeDaemon) welcome(p *fakePeer) *fakePeer {
	d.t.Helper()
	metadata := wire.AppendEntry(nil, "server", "fake/1")
	metadata = wire.AppendEntry(metadata, "instance", "00112233445566778899aabbccddeeff")
	metadata = wire.AppendEntry(metadata, "features", d.features)
	metadata = wire.AppendEntry(metadata, "max-frame", d.maxFrame)
	p.send(wire.Header{Kind: wire.Welcome, ID: 7, Function: 1, Aux: 4096}, "", metadata, nil)
	return p
}

// connect has a client connect, which is closed with the test.
func (d *fakeDaemon) connect(options ...hostcall.ConnectOption) (*hostcall.Client, *fakePeer) {
	d.t.Helper()
	options = append([]hostcall.ConnectOption{hostcall.SocketPath(d.path)}, options...)
	client := later(func() (*hostcall.Client, error) { return hostcall.Connect(context.Background(), options...) })
	peer := d.welcome(d.accept())
	c := client.must(d.t)
	d.t.Cleanup(func() { c.Close() })
	return c, peer
}

// next is the next frame, with memory of its own.
func (p *fakePeer) next() *wire.Frame {
	p.t.Helper()
	p.connection.SetReadDeadline(time.Now().Add(patience))
	frame, err := p.reader.Next()
	if err != nil {
		p.t.Fatalf("no frame: %v", err)
	}
	copied := *frame
	copied.Name = append([]byte(nil), frame.Name...)
	copied.Metadata = append([]byte(nil), frame.Metadata...)
	copied.Payload = append([]byte(nil), frame.Payload...)
	return &copied
}

// expect is the next frame, which has to be of this kind.
func (p *fakePeer) expect(kind wire.Kind) *wire.Frame {
	p.t.Helper()
	frame := p.next()
	if frame.Kind != kind {
		p.t.Fatalf("%s came, and not %s: %q", frame.Kind, kind, frame.Payload)
	}
	return frame
}

// expectEnd waits for the end of the connection, with nothing before it.
func (p *fakePeer) expectEnd() {
	p.t.Helper()
	p.connection.SetReadDeadline(time.Now().Add(patience))
	if frame, err := p.reader.Next(); err == nil {
		p.t.Fatalf("%s came, and not the end", frame.Kind)
	} else if errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatal(err)
	}
}

func (p *fakePeer) send(header wire.Header, name string, metadata, payload []byte) {
	p.t.Helper()
	p.connection.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.connection.Write(wire.AppendFrame(nil, header, name, metadata, payload)); err != nil {
		p.t.Fatal(err)
	}
}

// result answers a request with a status.
func (p *fakePeer) result(request *wire.Frame, status hostcall.Status, payload string) {
	p.t.Helper()
	p.send(wire.Header{Kind: wire.Result, ID: request.ID, Status: uint8(status)}, "", nil, []byte(payload))
}

// barrier returns when the client has taken everything that was sent before.
func (p *fakePeer) barrier() {
	p.t.Helper()
	p.send(wire.Header{Kind: wire.Ping, ID: 99}, "", nil, []byte("barrier"))
	if pong := p.expect(wire.Pong); pong.ID != 99 || string(pong.Payload) != "barrier" {
		p.t.Fatalf("PONG has the id %d and the payload %q", pong.ID, pong.Payload)
	}
}

// register has the client serve a function, by this handle.
func (p *fakePeer) register(
	client *hostcall.Client, name string, handle uint32, handler hostcall.Handler, options ...hostcall.HandleOption,
) *hostcall.Registration {
	p.t.Helper()
	registration := later(func() (*hostcall.Registration, error) { return client.Handle(name, handler, options...) })
	p.acceptRegistration(name, handle)
	return registration.must(p.t)
}

func (p *fakePeer) acceptRegistration(name string, handle uint32) *wire.Frame {
	p.t.Helper()
	frame := p.expect(wire.Register)
	if string(frame.Name) != name {
		p.t.Fatalf("REGISTER has the name %s, not %s", frame.Name, name)
	}
	p.send(wire.Header{Kind: wire.Result, ID: frame.ID, Aux: handle}, "", nil, nil)
	return frame
}

func (p *fakePeer) invoke(correlationID uint64, handle uint32, payload string) {
	p.t.Helper()
	p.send(wire.Header{Kind: wire.Invoke, ID: correlationID, Function: handle, Timeout: 60_000}, "", nil, []byte(payload))
}

func (p *fakePeer) complete(correlationID uint64, status hostcall.Status, payload string) {
	p.t.Helper()
	frame := p.expect(wire.Complete)
	if frame.ID != correlationID || hostcall.Status(frame.Status) != status || string(frame.Payload) != payload {
		p.t.Errorf("COMPLETE of the call %d says %s %q; expected the call %d, %s %q", frame.ID,
			hostcall.Status(frame.Status), frame.Payload, correlationID, status, payload)
	}
}

// subscribe has the client subscribe.
func (p *fakePeer) subscribe(client *hostcall.Client, pattern string) *hostcall.Subscription {
	p.t.Helper()
	subscription := later(func() (*hostcall.Subscription, error) {
		return client.Subscribe(context.Background(), pattern)
	})
	p.result(p.expect(wire.Subscribe), hostcall.OK, "")
	return subscription.must(p.t)
}

func (p *fakePeer) event(place uint64, name, payload string, dropped uint32) {
	p.t.Helper()
	p.send(wire.Header{Kind: wire.Event, ID: place, Aux: dropped}, name, nil, []byte(payload))
}

// future is what a function on another goroutine comes to.
type future[T any] struct {
	value T
	err   error
	done  chan struct{}
}

func later[T any](run func() (T, error)) *future[T] {
	f := &future[T]{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.value, f.err = run()
	}()
	return f
}

func (f *future[T]) get(t *testing.T) (T, error) {
	t.Helper()
	select {
	case <-f.done:
	case <-time.After(patience):
		t.Fatal("it has not ended")
	}
	return f.value, f.err
}

func (f *future[T]) must(t *testing.T) T {
	t.Helper()
	value, err := f.get(t)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// laterCall calls on another goroutine.
func laterCall(
	ctx context.Context, client *hostcall.Client, name, payload string, options ...hostcall.CallOption,
) *future[*hostcall.Reply] {
	return later(func() (*hostcall.Reply, error) { return client.Call(ctx, name, []byte(payload), options...) })
}

// wait waits until a condition holds that something else brings about.
func wait(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not come to it: " + what)
		}
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		t.Fatal("nothing has come")
		panic("unreachable")
	}
}

// checkGoroutines has the test fail where goroutines of the library outlive it.
func checkGoroutines(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var stacks string
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
			buffer := make([]byte, 1<<20)
			stacks = string(buffer[:runtime.Stack(buffer, true)])
			if !strings.Contains(stacks, "hostcall.(*") {
				return
			}
		}
		t.Errorf("goroutines have been left behind:\n%s", stacks)
	})
}

// checkStatus has the test fail unless the error has a status and an origin.
func checkStatus(t *testing.T, err error, status hostcall.Status, origin hostcall.Origin) *hostcall.Error {
	t.Helper()
	var failure *hostcall.Error
	if !errors.As(err, &failure) {
		t.Fatalf("%v is not an error of this library; expected %s from the %s", err, status, origin)
	}
	if failure.Status != status || failure.Origin != origin || !errors.Is(err, status) {
		t.Errorf("“%v” is %s from the %s; expected %s from the %s", err, failure.Status, failure.Origin, status, origin)
	}
	return failure
}
