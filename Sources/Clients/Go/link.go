package hostcall

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hostcall/internal/wire"
)

// requestMark is the bit that is set in every request id of this library and in no correlation id; it tells whose call
// an ITEM, CREDIT or CANCEL belongs to.
const requestMark = uint64(1) << 63

// link is one connection, from its WELCOME on. Two goroutines belong to it: one reads, one writes.
type link struct {
	client     *Client
	connection *heardConnection
	reader     *wire.Reader
	output     *output
	server     Server
	readySince time.Time
	lastID     atomic.Uint64
	// Whether SUBSCRIBE was ever written, so that events may come.
	hasSubscribed atomic.Bool
	// Closed when the reader has ended.
	readerDone chan struct{}

	// What follows is guarded by mutex.
	mutex sync.Mutex
	// Requests without a RESULT, by request id.
	requests map[uint64]requester
	// Ids of requests without a RESULT for which nobody waits any more; what still comes for them is passed over.
	abandoned map[uint64]struct{}
	// PINGs without a PONG, by id.
	pings map[uint64]pendingPing
	// INVOKEs without a COMPLETE, by correlation id.
	running map[uint64]*Request
	// How many of them have finished, and wait for a daemon that does not read.
	waitingOutcomes int
	// Registrations by the handle that the daemon gave them on this connection.
	functions map[uint32]*Registration
	// Whether the daemon has seen our GOAWAY, so that no INVOKE can be on its way.
	goawayWasSeen bool
	// Why the connection has ended; nil while it has not.
	lost *Error
	// Whether requests or running calls were left when it ended; it does not change after that.
	leftSomething bool
	// Broadcast when a request or running call has ended, the daemon has seen our GOAWAY, or the connection has ended.
	changes       signal
	livenessTimer *time.Timer
}

// requester is what a RESULT answers. Exactly one of its methods is called, once, unless the request is abandoned; neither
// may wait.
type requester interface {
	// answer is told of the RESULT, in the order in which frames come. Errors: a violation.
	answer(l *link, frame *wire.Frame) error
	// fail is told that the connection has ended.
	fail(failure *Error)
}

// heardConnection notes that something has come.
type heardConnection struct {
	net.Conn
	wasHeard atomic.Bool
}

func (c *heardConnection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	// A write of its own would have the processors pass the line to and fro.
	if n > 0 && !c.wasHeard.Load() {
		c.wasHeard.Store(true)
	}
	return n, err
}

func newLink(c *Client, connection *heardConnection, reader *wire.Reader, server Server) *link {
	return &link{
		client: c, connection: connection, reader: reader, output: newOutput(), server: server,
		readySince: time.Now(), readerDone: make(chan struct{}),
		requests: map[uint64]requester{}, abandoned: map[uint64]struct{}{}, pings: map[uint64]pendingPing{},
		running: map[uint64]*Request{}, functions: map[uint32]*Registration{},
	}
}

// start has the connection read and written.
func (l *link) start() {
	l.scheduleLivenessCheck()
	go l.output.write(l.connection)
	go l.read()
}

// nextID is a request id that was never used on this connection.
func (l *link) nextID() uint64 { return requestMark | l.lastID.Add(1) }

// request sends what a RESULT will answer.
func (l *link) request(r requester, header wire.Header, name string, metadata, payload []byte) (uint64, *Error) {
	header.ID = l.nextID()
	l.mutex.Lock()
	if l.lost != nil {
		defer l.mutex.Unlock()
		return 0, l.lost
	}
	l.requests[header.ID] = r
	l.mutex.Unlock()
	l.output.append(header, name, metadata, payload)
	return header.ID, nil
}

// abandon is for whoever does not wait for the RESULT of a request any more.
func (l *link) abandon(id uint64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if _, ok := l.requests[id]; !ok {
		return
	}
	delete(l.requests, id)
	l.abandoned[id] = struct{}{}
	if len(l.requests) == 0 {
		l.changes.broadcast()
	}
}

// refusal is why a body of so many bytes cannot be sent; nil where it can.
func (l *link) refusal(what, function string, bytes int) *Error {
	if failure := l.tooLarge(what, bytes); failure != nil {
		return failure.about(function)
	}
	queued := l.output.queued()
	if queued > 0 && queued+bytes > l.client.largestQueueBytes {
		return &Error{
			Status: Overloaded, Function: function,
			Message: strconv.Itoa(queued) + " bytes wait for a daemon that does not read, and " +
				strconv.Itoa(l.client.largestQueueBytes) + " may (LargestQueue)",
		}
	}
	return nil
}

func (l *link) tooLarge(what string, bytes int) *Error {
	if bytes <= l.server.LargestFrameBytes {
		return nil
	}
	return &Error{
		Status: TooLarge,
		Message: what + " has " + strconv.Itoa(bytes) + " bytes, and the daemon takes " +
			strconv.Itoa(l.server.LargestFrameBytes) + " at most (max-frame)",
	}
}

// lack is why nothing that needs a feature can be asked of this daemon; nil where it can.
func (l *link) lack(feature, function string) *Error {
	for _, has := range l.server.Features {
		if has == feature {
			return nil
		}
	}
	return &Error{
		Status: Unavailable, Function: function,
		Message: "the daemon, " + l.server.Program + ", has no " + feature +
			": a newer hostcalld names that feature in its WELCOME",
	}
}

// lose ends the connection, and with it what depended on it. The first reason counts.
func (l *link) lose(failure *Error) {
	l.mutex.Lock()
	if l.lost != nil {
		l.mutex.Unlock()
		return
	}
	l.lost = failure
	requests, running, pings := l.requests, l.running, l.pings
	l.requests, l.abandoned, l.running, l.pings = nil, nil, nil, nil
	l.leftSomething = len(requests) > 0 || len(running) > 0
	l.livenessTimer.Stop()
	l.changes.broadcast()
	for _, request := range running {
		request.ends.broadcast()
	}
	l.mutex.Unlock()
	l.output.close(l.connection, l.client.closeFlushDuration)
	// Before anybody hears of it: whoever tries again at once shall not meet this connection again.
	l.client.linkEnded(l, failure)
	for _, request := range running {
		request.end(failure)
	}
	for _, r := range requests {
		r.fail(failure)
	}
	for _, ping := range pings {
		ping.answer <- failure
	}
}

// ended is the connection's end in words.
func (l *link) ended(reason string, status Status, origin Origin, cause error) *Error {
	return &Error{
		kind: ErrConnectionLost, Status: status, Origin: origin, cause: cause,
		Message: "the connection to hostcalld at " + l.client.path + " was lost: " + reason,
	}
}

// endReason is what a failed read says, in words.
func endReason(err error) string {
	var errno syscall.Errno
	switch {
	case err == io.EOF:
		return "the daemon has closed it"
	case err == io.ErrUnexpectedEOF:
		return "the daemon has closed it in the middle of a frame"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the daemon takes nothing any more"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

func goaway(status uint8, reason string) []byte {
	return wire.AppendFrame(nil, wire.Header{Kind: wire.Goaway, Status: status}, "", nil, []byte(reason))
}
