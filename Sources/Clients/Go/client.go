package hostcall

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Client is a program's way to its daemon: it calls host functions, serves its own, publishes and subscribes. Any number
// of goroutines may use it. It lasts, over any number of connections, until Close or Shutdown.
type Client struct {
	settings
	path string

	// The connection while new requests go to it, so that calls take no lock of the client.
	current atomic.Pointer[link]

	// What follows is guarded by mutex. A link's mutex may be taken while it is held, never the other way round.
	mutex sync.Mutex
	phase phase
	// The present connection, in ready, leaving and shuttingDown.
	link *link
	// The connection that is being made, in connecting.
	attempt *attempt
	// Fires for the next attempt, in backingOff.
	reconnectTimer *time.Timer
	// Fires for the next attempt to register or subscribe what the daemon did not take back.
	registrationTimer   *time.Timer
	backoff             backoff
	registrationBackoff backoff
	// In the order in which they were made, those under way included.
	registrations []*Registration
	// By name or pattern, those under way included; each has at least one consumer.
	subscriptions map[string]*sharedSubscription
	// Why it ended, in closed; nil where this program wanted it.
	reason *Error

	notices *notices
	// Ends with the client: what cuts an attempt to connect short.
	lifetime context.Context
	end      context.CancelFunc
}

// phase is where a client stands with its daemon.
type phase uint8

const (
	// There is no connection and nobody wants one. To connecting with the next request; to closed.
	idle phase = iota
	// A connection is being made. To ready; when that fails to idle, backingOff or closed.
	connecting
	// WELCOME has come. To leaving, shuttingDown; when the connection is lost to idle, backingOff, closed.
	ready
	// The daemon said GOAWAY: what runs goes on, new requests fail. To shuttingDown; when the connection ends to idle,
	// backingOff or closed.
	leaving
	// This client said GOAWAY: what runs goes on, calls of handlers too. To closed.
	shuttingDown
	// The connection was lost, and a timer runs until the next attempt. To connecting, closed.
	backingOff
	// The end.
	closed
)

// Connect connects to the daemon and waits for its WELCOME (protocol section 3). The context is for the connecting alone.
//
// Errors: [ErrCannotConnect], which says which socket was tried and what to do.
func Connect(ctx context.Context, options ...ConnectOption) (*Client, error) {
	s := defaultSettings()
	for _, option := range options {
		option(&s)
	}
	if s.socketPath == "" {
		path, err := DefaultSocketPath()
		if err != nil {
			return nil, err
		}
		s.socketPath = path
	}
	c := &Client{
		settings: s, path: s.socketPath, phase: connecting, subscriptions: map[string]*sharedSubscription{},
		backoff:             newBackoff(s.firstDelay, s.longestDelay),
		registrationBackoff: newBackoff(s.firstDelay, s.longestDelay),
	}
	c.lifetime, c.end = context.WithCancel(context.Background())
	c.attempt = newAttempt()
	link, failure := c.open(ctx)
	if failure != nil {
		c.end()
		return nil, failure
	}
	c.notices = startNotices(s.notify)
	c.finishAttempt(c.attempt, link, nil)
	return c, nil
}

// SocketPath is the socket that the client connects to.
func (c *Client) SocketPath() string { return c.path }

// Server is what the daemon said about itself and the present connection; ok is false while there is none.
func (c *Client) Server() (server Server, ok bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.link == nil || c.phase == closed {
		return Server{}, false
	}
	return c.link.server, true
}

// Server is what a daemon says about itself and a connection in its WELCOME.
type Server struct {
	// Program is the program that answers, name/version.
	Program string
	// Instance is 32 hexadecimal digits, new for each run of the daemon.
	Instance string
	// Session is the number of the connection in this run of the daemon.
	Session uint64
	// LargestFrameBytes is the largest body that the daemon takes: name, metadata and payload.
	LargestFrameBytes int
	// CallsInFlight is how many calls the connection may have in flight.
	CallsInFlight int
	// Features is what the daemon can do beyond the first slice of the protocol: streams, events, descriptors.
	Features []string
}

// Done is closed when the client has ended for good: by Close or Shutdown, or, with [NoReconnect], by the loss of its
// connection. Err says which.
func (c *Client) Done() <-chan struct{} { return c.lifetime.Done() }

// Err is nil while the client lasts, and where this program ended it; otherwise it says why it ended.
func (c *Client) Err() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.reason == nil {
		return nil
	}
	return c.reason
}

// Ping asks the daemon for a sign of life; gives back how long it took (protocol section 4, PING).
//
// The daemon handles the frames of a connection in order: when this returns, it has seen everything sent before.
// Errors: [ErrConnectionLost], also where there is no connection, for it makes none; [ErrClosed]; the context's.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	c.mutex.Lock()
	link := c.link
	isClosed := c.phase == closed
	failure := c.closedError()
	c.mutex.Unlock()
	if link == nil {
		if !isClosed {
			failure = &Error{kind: ErrConnectionLost, Message: "there is no connection to hostcalld at " + c.path}
		}
		return 0, failure
	}
	begun := time.Now()
	answer, id := link.ping(userPing)
	select {
	case failure := <-answer:
		if failure != nil {
			return 0, failure
		}
		return time.Since(begun), nil
	case <-ctx.Done():
		link.forgetPing(id)
		return 0, contextError(ctx, "", "the daemon has not answered the ping yet")
	}
}

// closedError is what a request gets in a phase that takes none; mutex is held.
func (c *Client) closedError() *Error {
	if c.reason != nil {
		return c.reason
	}
	return &Error{kind: ErrClosed, Message: ErrClosed.Error()}
}

// contextError is what somebody gets whose context ended before anything was sent, or whose daemon does not say how it
// has ended.
func contextError(ctx context.Context, function, message string) *Error {
	cause := ctx.Err()
	status := Cancelled
	if cause == context.DeadlineExceeded {
		status = Timeout
	}
	return &Error{Status: status, Function: function, Message: message, cause: cause}
}
