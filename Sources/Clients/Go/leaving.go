package hostcall

import (
	"context"
	"time"

	"hostcall/internal/wire"
)

// Close closes at once: calls under way fail with [ErrClosed], the contexts of running handlers are cancelled and their
// outcome is lost. What was sent before without waiting for an answer still leaves, as far as the daemon reads it within
// 100 ms. Closing twice is fine. The error is always nil.
func (c *Client) Close() error {
	c.finish(nil)
	return nil
}

// Shutdown leaves in good order: it takes no more calls, finishes those that it has, sends their outcomes, and closes
// (protocol section 4, Liveness and leaving). Calls made with the context of a handler still go out; other new ones fail
// with [ErrClosed].
//
// Where the context ends first the client is closed all the same, as by Close; the error is then the context's. Where the
// connection is lost before everything has ended and been sent, outcomes are lost, and the error is the loss
// ([ErrConnectionLost], or [ErrClosed] after Close). A handler must not wait for it, for it waits for the handler.
func (c *Client) Shutdown(ctx context.Context) error {
	c.mutex.Lock()
	link := c.link
	switch c.phase {
	case ready, leaving:
		c.phase = shuttingDown
		c.current.Store(nil)
		link.output.append(wire.Header{Kind: wire.Goaway}, "", nil, nil)
		c.mutex.Unlock()
		// The answer comes after everything that the daemon sent before it knew.
		link.ping(goawayPing)
	case shuttingDown:
		c.mutex.Unlock()
	default:
		c.mutex.Unlock()
		return c.Close()
	}
	err := link.waitUntilIdle(ctx)
	c.finish(nil)
	return err
}

// waitUntilIdle waits until nothing runs, nothing is asked for, and everything has been written. Errors: the connection
// has ended before that, or the context has.
func (l *link) waitUntilIdle(ctx context.Context) error {
	for {
		l.mutex.Lock()
		lost := l.lost
		isIdle := lost == nil && l.goawayWasSeen && len(l.requests) == 0 && len(l.running) == 0
		changed := l.changes.wait()
		l.mutex.Unlock()
		if lost != nil {
			return l.lossOfOutcomes(lost)
		}
		var falls <-chan struct{}
		if isIdle {
			var isEmpty bool
			if isEmpty, falls = l.output.empties(); isEmpty {
				return nil
			}
		}
		select {
		case <-changed:
		case <-falls:
		case <-ctx.Done():
			return contextError(ctx, "", "the client was closed before everything that it ran had ended")
		}
	}
}

// lossOfOutcomes is the end of a connection as an error where something was under way or has not left; nil where nothing
// was.
func (l *link) lossOfOutcomes(lost *Error) error {
	// What was there at the end still leaves, or does not.
	<-l.output.done
	if !l.leftSomething && !l.output.hasLostContent() {
		return nil
	}
	copied := *lost
	copied.Message += ", before everything that this client ran had ended: outcomes are lost"
	return &copied
}

// finish is the end of the client; reason is nil where this program wanted it.
func (c *Client) finish(reason *Error) {
	c.mutex.Lock()
	if c.phase == closed {
		link := c.link
		c.mutex.Unlock()
		link.waitUntilOver()
		return
	}
	wasConnecting := c.phase == connecting
	c.phase = closed
	c.reason = reason
	c.current.Store(nil)
	attempt, link := c.attempt, c.link
	subscriptions := c.subscriptions
	c.registrations, c.subscriptions = nil, nil
	for _, timer := range []*time.Timer{c.reconnectTimer, c.registrationTimer} {
		if timer != nil {
			timer.Stop()
		}
	}
	failure := c.closedError()
	c.mutex.Unlock()
	if link != nil {
		link.lose(failure)
	}
	for _, subscription := range subscriptions {
		subscription.end(reason)
	}
	c.end()
	if wasConnecting {
		<-attempt.done
	}
	link.waitUntilOver()
	if reason != nil {
		c.notices.tell(Notice{Kind: Disconnected, Err: reason})
	}
	c.notices.end()
}

// waitUntilOver waits until the goroutines of a link, if there is one, have ended.
func (l *link) waitUntilOver() {
	if l != nil {
		<-l.output.done
		<-l.readerDone
	}
}

// linkEnded has the client go on after the end of a connection.
func (c *Client) linkEnded(l *link, failure *Error) {
	c.mutex.Lock()
	if c.link != l || c.phase == closed {
		c.mutex.Unlock()
		return
	}
	if time.Since(l.readySince) > c.longestDelay {
		c.backoff.reset()
	}
	if c.phase == shuttingDown || !c.reconnects {
		wanted := c.phase == shuttingDown
		c.mutex.Unlock()
		// On a goroutine of its own, for it waits for the one that has come here.
		if wanted {
			failure = nil
		}
		go c.finish(failure)
		return
	}
	c.link = nil
	c.current.Store(nil)
	if c.registrationTimer != nil {
		c.registrationTimer.Stop()
	}
	// Those that the daemon never took are over: whoever asked for them is about to hear so.
	var kept []*Registration
	for _, registration := range c.registrations {
		if registration.linkEnded() {
			kept = append(kept, registration)
		}
	}
	c.registrations = kept
	var over []*sharedSubscription
	for pattern, subscription := range c.subscriptions {
		if !subscription.linkEnded() {
			delete(c.subscriptions, pattern)
			over = append(over, subscription)
		}
	}
	notice := c.backOff(failure, false)
	c.mutex.Unlock()
	for _, subscription := range over {
		subscription.end(failure)
	}
	c.notices.tell(notice)
}

// receiveGoaway: the daemon leaves, or gives this connection up.
func (l *link) receiveGoaway(frame *wire.Frame) {
	status := Status(frame.Status)
	if status == OK || status == ShuttingDown {
		c := l.client
		c.mutex.Lock()
		defer c.mutex.Unlock()
		// What runs is finished; the daemon closes the connection after it.
		if c.phase == ready && c.link == l {
			c.phase = leaving
			c.current.Store(nil)
		}
		return
	}
	reason := payloadText(frame.Payload, RawEncoding)
	if reason == "" {
		reason = "the daemon has ended it with " + status.String()
	} else {
		reason = status.String() + " from the daemon: " + reason
	}
	l.lose(l.ended(reason, status, FromDaemon, nil))
}
