package hostcall

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"hostcall/internal/wire"
)

const (
	// acceptRetry is how long to wait where the daemon's queue of connections is full: soon it will have taken some.
	acceptRetry = 5 * time.Millisecond
	// longestPathBytes is what the kernel takes as the path of a socket.
	longestPathBytes = 107
)

// attempt is a connection that is being made, for all that wait for it.
type attempt struct {
	// Closed when it has ended; the others are set before.
	done    chan struct{}
	link    *link
	failure *Error
}

func newAttempt() *attempt { return &attempt{done: make(chan struct{})} }

// acquire is the connection for a new request: the present one, or a new one that is waited for.
func (c *Client) acquire(ctx context.Context, function string) (*link, *Error) {
	if link := c.current.Load(); link != nil {
		return link, nil
	}
	c.mutex.Lock()
	switch c.phase {
	case ready:
		link := c.link
		c.mutex.Unlock()
		return link, nil
	case leaving:
		c.mutex.Unlock()
		return nil, &Error{
			Status: ShuttingDown, Origin: FromDaemon, Function: function,
			Message: "it is stopping and takes nothing new",
		}
	case shuttingDown:
		link := c.link
		c.mutex.Unlock()
		if inheritedFrom(ctx).isInHandler() {
			return link, nil
		}
		return nil, &Error{kind: ErrClosed, Function: function, Message: "this client is shutting down"}
	case closed:
		failure := c.closedError()
		c.mutex.Unlock()
		return nil, failure.about(function)
	case idle, backingOff:
		c.beginConnecting()
	}
	attempt := c.attempt
	c.mutex.Unlock()
	select {
	case <-attempt.done:
		if attempt.failure != nil {
			return nil, attempt.failure.about(function)
		}
		return attempt.link, nil
	case <-ctx.Done():
		return nil, contextError(ctx, function, "there was no connection to hostcalld at "+c.path+" yet")
	}
}

// beginConnecting goes from idle or backingOff to connecting; mutex is held.
func (c *Client) beginConnecting() {
	if c.reconnectTimer != nil {
		c.reconnectTimer.Stop()
	}
	c.phase = connecting
	attempt := newAttempt()
	c.attempt = attempt
	go func() {
		link, failure := c.open(c.lifetime)
		c.finishAttempt(attempt, link, failure)
	}()
}

// finishAttempt tells those who wait what an attempt has come to.
func (c *Client) finishAttempt(attempt *attempt, link *link, failure *Error) {
	c.mutex.Lock()
	var notice Notice
	var over []endedSubscription
	switch {
	case c.phase != connecting || c.attempt != attempt:
		// Closed in the meantime.
		if link != nil {
			link.connection.Close()
		}
		attempt.failure = c.closedError()
	case failure != nil:
		attempt.failure = failure
		c.attempt = nil
		notice = c.backOff(failure, true)
	default:
		attempt.link = link
		c.attempt = nil
		notice, over = c.begin(link)
	}
	c.mutex.Unlock()
	close(attempt.done)
	for _, ended := range over {
		ended.subscription.end(ended.failure)
	}
	c.notices.tell(notice)
}

// endedSubscription is one that cannot be made on a new connection, and why.
type endedSubscription struct {
	subscription *sharedSubscription
	failure      *Error
}

// begin puts a connection that WELCOME has come on to use, and gives back the subscriptions that are over with it; mutex is
// held.
func (c *Client) begin(link *link) (notice Notice, over []endedSubscription) {
	c.link = link
	c.phase = ready
	c.registrationBackoff.reset()
	for _, registration := range c.registrations {
		registration.transmit(link)
	}
	for pattern, subscription := range c.subscriptions {
		subscription.noteGap()
		if failure := subscription.transmit(link); failure != nil {
			delete(c.subscriptions, pattern)
			over = append(over, endedSubscription{subscription, failure})
		}
	}
	c.current.Store(link)
	link.start()
	return Notice{Kind: Connected}, over
}

// backOff decides what follows the end of a connection, or of an attempt to make one; mutex is held.
func (c *Client) backOff(failure *Error, wasConnecting bool) Notice {
	kind := Disconnected
	if wasConnecting {
		kind = ReconnectFailed
	}
	if len(c.registrations) == 0 && len(c.subscriptions) == 0 {
		c.phase = idle
		return Notice{Kind: kind, Err: failure}
	}
	c.phase = backingOff
	delay := c.backoff.delay()
	c.reconnectTimer = time.AfterFunc(delay, func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		if c.phase == backingOff {
			c.beginConnecting()
		}
	})
	return Notice{Kind: kind, Err: failure, RetryAfter: delay}
}

// open connects and greets; the context, or ConnectTimeout, ends it early.
func (c *Client) open(outer context.Context) (*link, *Error) {
	ctx, cancel := context.WithTimeout(outer, c.connectTimeout)
	defer cancel()
	connection, err := c.dial(ctx)
	var opened *link
	if err == nil {
		ended := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			select {
			case <-ctx.Done():
				connection.SetDeadline(time.Unix(1, 0))
			case <-ended:
			}
		}()
		opened, err = c.greet(connection)
		close(ended)
		<-watched
		if err == nil && ctx.Err() == nil {
			return opened, nil
		}
		connection.Close()
	}
	return nil, c.cannotConnect(outer, ctx, err)
}

// dial connects, again and again while the daemon's queue of connections is full.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	for {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
		if !errors.Is(err, syscall.EAGAIN) {
			return connection, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(acceptRetry):
		}
	}
}

// cannotConnect is why there is no connection, in words.
func (c *Client) cannotConnect(outer, ctx context.Context, err error) *Error {
	failure := &Error{kind: ErrCannotConnect, cause: err}
	var refused *refusedError
	var violation *wire.Violation
	var errno syscall.Errno
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		// The socket's own clock was a moment ahead of the context's, which says whose limit it was.
		<-ctx.Done()
	}
	reason, advice := "", ""
	switch {
	case errors.As(err, &refused):
		failure.Status, failure.Origin, failure.cause = refused.status, FromDaemon, nil
		reason = refused.reason
	case errors.As(err, &violation):
		failure.Status = ProtocolViolation
		reason = "the daemon broke the protocol: " + violation.Reason
	case outer.Err() != nil:
		failure.cause = outer.Err()
		reason = "it has not answered when " + map[bool]string{
			true: "the deadline passed", false: "the context was cancelled",
		}[outer.Err() == context.DeadlineExceeded]
	case ctx.Err() != nil:
		failure.cause = nil
		reason, advice = "it has not answered within "+c.connectTimeout.String(), "is it overloaded?"
	case len(c.path) > longestPathBytes:
		reason = "the path has " + strconv.Itoa(len(c.path)) + " bytes, and a socket's path " +
			strconv.Itoa(longestPathBytes) + " at most"
	case errors.As(err, &errno):
		reason = errno.Error()
		switch errno {
		case syscall.ENOENT, syscall.ECONNREFUSED:
			advice = "start it with: hostcalld, or set HOSTCALL_SOCKET"
		case syscall.EACCES, syscall.EPERM:
			advice = "ask for access to the socket, or set HOSTCALL_SOCKET"
		}
	default:
		reason = endReason(err)
	}
	failure.Message = "cannot reach hostcalld at " + c.path + ": " + reason
	if advice != "" {
		failure.Message += " (" + advice + ")"
	}
	return failure
}
