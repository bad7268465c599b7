package hostcall

import (
	"context"
	"math"
	"sync"
	"time"

	"hostcall/internal/wire"
)

// Handler answers a call with bytes or an error, on a goroutine of its own.
//
// The context carries the call's deadline and is cancelled when the call ends otherwise: by its caller, or with the
// connection. Calls made with it inherit what is left of the deadline, the cancellation and the trace.
//
// A *[Failure] is the outcome that it says; any other error is FAILED with its text, or, where the context has ended and
// the error is the context's, CANCELLED or TIMEOUT. A panic is PANIC with its text.
type Handler func(ctx context.Context, request *Request) ([]byte, error)

// ReplyHandler is a [Handler] whose result has an encoding and metadata. A nil Reply is an empty result.
type ReplyHandler func(ctx context.Context, request *Request) (*Reply, error)

// registrationSettings is how a function is registered (protocol section 4, Registering).
type registrationSettings struct {
	concurrency    int
	mode           string
	longestRun     time.Duration
	idempotent     bool
	callerIdentity bool
}

type handleOption func(*registrationSettings)

func (o handleOption) applyToRegistration(s *registrationSettings) { o(s) }

// Concurrency is how many calls of the function this worker runs at once; 0 is the daemon's default, 64.
func Concurrency(calls int) HandleOption {
	return handleOption(func(s *registrationSettings) { s.concurrency = clamp(calls, 0, math.MaxInt32) })
}

// Exclusive refuses to share the name: the registration fails with AlreadyRegistered if anyone has it, and so does any
// other after it. By default workers share a name.
func Exclusive() HandleOption {
	return handleOption(func(s *registrationSettings) { s.mode = "exclusive" })
}

// Replace takes all new and queued calls of the name; those that had it finish what they have and get no more.
func Replace() HandleOption {
	return handleOption(func(s *registrationSettings) { s.mode = "replace" })
}

// LongestRun is how long a call of the function may run, rounded up to milliseconds; 0 is the daemon's maximum.
func LongestRun(limit time.Duration) HandleOption {
	return handleOption(func(s *registrationSettings) { s.longestRun = limit })
}

// CallerIdentity has requests say who called: see [Request.Caller].
func CallerIdentity() HandleOption {
	return handleOption(func(s *registrationSettings) { s.callerIdentity = true })
}

// Registration is a host function that a client serves, over all its connections, until Unregister or the client's end.
type Registration struct {
	client  *Client
	name    string
	handler ReplyHandler
	header  wire.Header
	// As it goes over the wire.
	metadata []byte

	// Has room for the first answer.
	accepted chan *Error
	tell     sync.Once

	// What follows is guarded by the client's mutex.

	// The daemon has taken it; it is registered again on each new connection.
	isEstablished bool
	// It was unregistered or refused.
	isOver bool
	// REGISTER is under way on the present connection.
	isRegistering bool
	// What INVOKE carries on the present connection; 0 while the daemon has not answered there.
	handle uint32
}

// Handle serves a host function, until Unregister or the end of the client. It waits until the daemon has registered the
// name, or pattern such as files.*; the registration comes back by itself after a lost connection.
//
// Errors: AlreadyRegistered, Denied, Overloaded, InvalidArgument, [ErrCannotConnect], [ErrConnectionLost], [ErrClosed].
func (c *Client) Handle(name string, handler Handler, options ...HandleOption) (*Registration, error) {
	if handler == nil {
		return nil, noHandler(name)
	}
	return c.HandleReply(name, func(ctx context.Context, request *Request) (*Reply, error) {
		payload, err := handler(ctx, request)
		if err != nil {
			return nil, err
		}
		return &Reply{Payload: payload}, nil
	}, options...)
}

func noHandler(name string) *Error {
	return &Error{Status: InvalidArgument, Function: name, Message: "there is no handler (it is nil)"}
}

// HandleReply is Handle for results that have an encoding or metadata.
func (c *Client) HandleReply(name string, handler ReplyHandler, options ...HandleOption) (*Registration, error) {
	if handler == nil {
		return nil, noHandler(name)
	}
	if !wire.IsName(name) && !wire.IsPattern(name) {
		return nil, &Error{
			Status: InvalidArgument, Function: name,
			Message: "this is not a name or pattern: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots; " +
				"of a pattern the last segment is *",
		}
	}
	s := registrationSettings{}
	for _, option := range options {
		option.applyToRegistration(&s)
	}
	r := &Registration{
		client: c, name: name, handler: handler, metadata: s.encode(), accepted: make(chan *Error, 1),
		header: wire.Header{
			Kind: wire.Register, Aux: uint32(s.concurrency), Timeout: wireMilliseconds(s.longestRun),
		},
	}
	link, failure := c.acquire(context.Background(), name)
	if failure != nil {
		return nil, failure
	}
	c.mutex.Lock()
	if c.link != link || c.phase == closed {
		c.mutex.Unlock()
		return nil, link.lossReason().about(name)
	}
	c.registrations = append(c.registrations, r)
	r.isRegistering = true
	_, failure = link.request(r, r.header, r.name, r.metadata, nil)
	c.mutex.Unlock()
	if failure == nil {
		failure = <-r.accepted
	}
	if failure != nil {
		c.forget(r)
		return nil, failure.about(name)
	}
	return r, nil
}

func (s *registrationSettings) encode() []byte {
	var encoded []byte
	add := func(is bool, key, value string) {
		if is {
			encoded = wire.AppendEntry(encoded, key, value)
		}
	}
	add(s.mode != "", "mode", s.mode)
	add(s.idempotent, "idempotent", "true")
	add(s.callerIdentity, "caller", "true")
	return encoded
}

// lossReason is why the connection has ended, as far as is known.
func (l *link) lossReason() *Error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.lost != nil {
		return l.lost
	}
	return l.ended("another has taken its place", OK, FromClient, nil)
}

// Name is the name or pattern.
func (r *Registration) Name() string { return r.name }

// Unregister ends the registration (protocol section 4, UNREGISTER). When it returns no new call comes; those that run
// go on. Doing it twice, or without a connection, is fine. The context bounds the wait alone.
func (r *Registration) Unregister(ctx context.Context) error {
	c := r.client
	c.mutex.Lock()
	if r.isOver {
		c.mutex.Unlock()
		return nil
	}
	link, handle := c.link, r.handle
	c.removeRegistration(r)
	c.mutex.Unlock()
	if link == nil || handle == 0 {
		return nil
	}
	request := &unregistering{name: r.name, handle: handle, done: make(chan *Error, 1)}
	if failure := request.send(link); failure != nil {
		return nil
	}
	select {
	case failure := <-request.done:
		if failure != nil {
			return failure
		}
		return nil
	case <-ctx.Done():
		return contextError(ctx, r.name, "the daemon has not confirmed that it is unregistered yet")
	}
}
