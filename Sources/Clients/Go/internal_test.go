package hostcall

import (
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostcall/internal/wire"
)

func TestTheSocketIsLookedForInItsPlaces(t *testing.T) {
	for _, test := range []struct {
		environment map[string]string
		userID      int
		path        string
	}{
		{map[string]string{"HOSTCALL_SOCKET": "/a", "XDG_RUNTIME_DIR": "/x"}, 0, "/a"},
		{map[string]string{"HOSTCALL_SOCKET": "", "RUNTIME_DIRECTORY": "/r:/s", "XDG_RUNTIME_DIR": "/x"}, 0, "/r/hostcall.sock"},
		{map[string]string{"XDG_RUNTIME_DIR": "/x/"}, 0, "/x/hostcall.sock"},
		{nil, 0, "/run/hostcall/hostcall.sock"},
		{nil, 1000, ""},
	} {
		path, err := socketPath(func(name string) string { return test.environment[name] }, test.userID)
		if path != test.path || (err != nil) != (test.path == "") {
			t.Errorf("%v as user %d: %s, %v", test.environment, test.userID, path, err)
		}
		if err != nil && !strings.Contains(err.Error(), "set HOSTCALL_SOCKET to its path") {
			t.Errorf("it reads “%v”", err)
		}
	}
}

func TestTheWaitsOfABackoffDoubleUpToTheLongest(t *testing.T) {
	b := newBackoff(10*time.Millisecond, 50*time.Millisecond)
	for round := 0; round < 100; round++ {
		for _, whole := range []time.Duration{10, 20, 40, 50, 50} {
			whole *= time.Millisecond
			if delay := b.delay(); delay < whole/2 || delay > whole {
				t.Fatalf("a wait of %v, not between half of %v and the whole", delay, whole)
			}
		}
		b.reset()
	}
}

func TestTimeoutsAreRoundedUpAndFit(t *testing.T) {
	for duration, milliseconds := range map[time.Duration]uint32{
		-1: 0, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, 1<<63 - 1: 1<<32 - 1,
	} {
		if got := wireMilliseconds(duration); got != milliseconds {
			t.Errorf("%v is %d ms on the wire, not %d", duration, got, milliseconds)
		}
	}
}

func TestOptionsKeepToWhatCanBe(t *testing.T) {
	s := defaultSettings()
	for _, option := range []ConnectOption{
		ItemWindow(-5), ItemQueue(0), EventBuffer(0, -1), LargestFrame(-1), LargestQueue(0), ReconnectDelays(-1, -1),
		ConnectTimeout(0), CancelGrace(-1),
	} {
		option(&s)
	}
	if s.itemWindow != 1 || s.itemQueueBytes != 1024 || s.waitingEvents != 1 || s.waitingEventBytes != 0 ||
		s.largestFrameBytes != 1024 || s.largestQueueBytes != 1024 || s.firstDelay != time.Millisecond ||
		s.longestDelay != time.Millisecond || s.connectTimeout != time.Millisecond || s.cancelGrace != 0 {
		t.Errorf("the settings are %+v", s)
	}
}

func TestDefaultsAreThoseThatTheDocumentationNames(t *testing.T) {
	s := defaultSettings()
	if s.itemWindow != 32 || s.itemQueueBytes != 1<<20 || s.waitingEvents != 1024 || s.waitingEventBytes != 8<<20 ||
		s.largestFrameBytes != 256<<20 || s.largestQueueBytes != 256<<20 || s.firstDelay != 10*time.Millisecond ||
		s.longestDelay != 5*time.Second || s.livenessLimit != 30*time.Second || s.cancelGrace != time.Second ||
		s.connectTimeout != 5*time.Second || !s.reconnects {
		t.Errorf("the settings are %+v", s)
	}
}

func TestAReplyThatNoFrameCanCarryIsFailedInWords(t *testing.T) {
	reply := newCompletion(OK, []byte("result"), JSONEncoding, nil)
	if c := reply.fitting(1<<32 - 1); c.status != OK || c.encoding != JSONEncoding || string(c.payload) != "result" {
		t.Errorf("the largest body has become %s %q", c.status, c.payload)
	}
	const text = "the handler's reply cannot be sent: it has 4294967296 bytes, and 4294967295 fit into a frame"
	if c := reply.fitting(1 << 32); c.status != Failed || c.encoding != RawEncoding || string(c.payload) != text {
		t.Errorf("a body that is too large has become %s %q", c.status, c.payload)
	}
}

// countingConnection takes writes one at a time, as the test lets it.
type countingConnection struct {
	net.Conn
	writes chan []byte
}

func (c *countingConnection) Write(b []byte) (int, error) {
	c.writes <- append([]byte(nil), b...)
	return len(b), nil
}

func (c *countingConnection) Close() error                     { return nil }
func (c *countingConnection) SetWriteDeadline(time.Time) error { return nil }

func TestFramesThatComeDuringAWriteLeaveTogether(t *testing.T) {
	o := newOutput()
	connection := &countingConnection{writes: make(chan []byte)}
	go o.write(connection)
	header := wire.Header{Kind: wire.Ping}
	o.append(header, "", nil, nil)
	// The writer takes the first one and stands in its write, while a thousand follow.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		o.mutex.Lock()
		taken := len(o.waiting) == 0
		o.mutex.Unlock()
		if taken {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the writer has not taken the first frame")
		}
	}
	for i := 0; i < 1000; i++ {
		o.append(header, "", nil, nil)
	}
	if first := <-connection.writes; len(first) != wire.HeaderBytes {
		t.Errorf("the first write has %d bytes", len(first))
	}
	if second := <-connection.writes; len(second) != 1000*wire.HeaderBytes {
		t.Errorf("the second write has %d bytes, and not 1000 frames", len(second))
	}
	o.append(header, "", nil, nil)
	o.close(connection, time.Second)
	o.append(header, "", nil, nil)
	if last := <-connection.writes; len(last) != wire.HeaderBytes {
		t.Errorf("%d bytes were written at the end", len(last))
	}
	<-o.done
	if o.queued() != 0 || o.above(0) != nil {
		t.Errorf("%d bytes are left", o.queued())
	}
}

// brokenConnection takes nothing, and notes what is done with it.
type brokenConnection struct {
	net.Conn
	listens chan struct{}
	closed  chan struct{}
}

func (c *brokenConnection) Write([]byte) (int, error)        { return 0, syscall.EPIPE }
func (c *brokenConnection) SetWriteDeadline(time.Time) error { return nil }
func (c *brokenConnection) Close() error                     { close(c.closed); return nil }
func (c *brokenConnection) SetReadDeadline(time.Time) error  { close(c.listens); return nil }

func TestAConnectionThatTakesNothingIsStillReadToItsEnd(t *testing.T) {
	o := newOutput()
	connection := &brokenConnection{listens: make(chan struct{}), closed: make(chan struct{})}
	go o.write(connection)
	o.append(wire.Header{Kind: wire.Ping}, "", nil, nil)
	<-connection.listens
	for end := time.Now().Add(10 * time.Second); o.append(wire.Header{Kind: wire.Ping}, "", nil, nil); {
		if time.Now().After(end) {
			t.Fatal("frames are still taken")
		}
		time.Sleep(time.Millisecond)
	}
	for i := 0; i < 100; i++ {
		runtime.Gosched()
	}
	select {
	case <-connection.closed:
		t.Error("it was closed before the reader had found the end")
	default:
	}
	if o.hasLostContent() {
		t.Error("pings count as content")
	}
	o.append(wire.Header{Kind: wire.Complete}, "", nil, nil)
	if !o.hasLostContent() {
		t.Error("an outcome that was not taken does not count as lost")
	}
	o.close(connection, time.Second)
	<-connection.closed
	<-o.done
}

func TestNoticesThatNobodyTakesAreLostAndHoldNobodyUp(t *testing.T) {
	told := make(chan Notice)
	n := startNotices(func(notice Notice) { told <- notice })
	for i := 0; i < 10*waitingNotices; i++ {
		n.tell(Notice{Kind: Connected, CorrelationID: uint64(i)})
	}
	n.end()
	if first := <-told; first.CorrelationID != 0 {
		t.Errorf("the first notice is %+v", first)
	}
	for i := 0; i < waitingNotices-1; i++ {
		<-told
	}
	var nobody *notices
	nobody.tell(Notice{Kind: Connected})
	nobody.end()
}
