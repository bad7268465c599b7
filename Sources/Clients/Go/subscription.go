package hostcall

import (
	"context"
	"sync"

	"hostcall/internal/wire"
)

// Subscription is the events of a name or pattern as they come, for one goroutine:
//
//	subscription, err := client.Subscribe(ctx, "door.*")
//	if err != nil { return err }
//	defer subscription.Close()
//	for subscription.Next() { use(subscription.Event()) }
//	if err := subscription.Err(); err != nil { return err }
//
// Close may be called from any goroutine.
type Subscription struct {
	shared *sharedSubscription
	buffer *eventBuffer
	event  Event
	// What Next has found at the end.
	failure *Error
	// Closed by Close.
	closed    chan struct{}
	closeOnce sync.Once
}

// sharedSubscription is one name or pattern at the daemon, over all connections, however many consumers share it. The
// client's mutex guards it.
type sharedSubscription struct {
	client    *Client
	pattern   string
	consumers []*Subscription
	// The daemon has taken it once; it is made again on each new connection.
	isEstablished bool
	// SUBSCRIBE is under way on the present connection.
	isSubscribing bool
	// The daemon has taken it on the present connection.
	isSubscribed bool
	// Closed with the first answer; refusal is set before.
	answered chan struct{}
	refusal  *Error
}

// Subscribe subscribes to a name, a pattern such as door.*, or * (protocol section 4, Events). It returns when the daemon
// has taken the subscription: everything published from then on comes. The daemon's own events are below hostcall.
//
// The subscription lasts until its context ends, it is closed, or the client ends; after a lost connection the client
// subscribes again. A consumer that is slower than the events loses the oldest of those that wait for it, and the next
// event says how many.
//
// Errors: InvalidArgument, Denied, Overloaded, Unavailable where the daemon has no events, [ErrCannotConnect],
// [ErrConnectionLost], [ErrClosed], the context's. Where the daemon of a later connection refuses it, or has no events,
// the subscription ends with that.
func (c *Client) Subscribe(ctx context.Context, pattern string) (*Subscription, error) {
	if !wire.IsName(pattern) && !wire.IsPattern(pattern) {
		return nil, &Error{
			Status: InvalidArgument, Function: pattern,
			Message: "this is not a name or pattern: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots; " +
				"of a pattern the last segment is *",
		}
	}
	if ctx.Err() != nil {
		return nil, contextError(ctx, pattern, "the context had ended before it was subscribed to")
	}
	link, failure := c.acquire(ctx, pattern)
	if failure != nil {
		return nil, failure
	}
	if failure := link.lack("events", pattern); failure != nil {
		return nil, failure
	}
	consumer, failure := c.join(link, pattern)
	if failure != nil {
		return nil, failure
	}
	shared := consumer.shared
	select {
	case <-shared.answered:
		if shared.refusal != nil {
			consumer.Close()
			return nil, shared.refusal.about(pattern)
		}
	case <-ctx.Done():
		consumer.Close()
		return nil, contextError(ctx, pattern, "the daemon has not taken the subscription yet")
	}
	if ctx.Done() != nil {
		go consumer.watch(ctx)
	}
	return consumer, nil
}

// join adds a consumer; the first one of a pattern has the daemon asked.
func (c *Client) join(l *link, pattern string) (*Subscription, *Error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.link != l || c.phase == closed {
		return nil, l.lossReason().about(pattern)
	}
	shared := c.subscriptions[pattern]
	if shared == nil {
		shared = &sharedSubscription{client: c, pattern: pattern, answered: make(chan struct{})}
		if failure := shared.transmit(l); failure != nil {
			return nil, failure.about(pattern)
		}
		c.subscriptions[pattern] = shared
	}
	consumer := &Subscription{
		shared: shared, closed: make(chan struct{}),
		buffer: &eventBuffer{mostEvents: c.waitingEvents, mostBytes: c.waitingEventBytes},
	}
	shared.consumers = append(shared.consumers, consumer)
	return consumer, nil
}

// Next waits for the next event; false at the end, of which Err tells.
func (s *Subscription) Next() bool {
	event, isEvent, failure := s.buffer.next()
	s.event, s.failure = event, failure
	return isEvent
}

// Event is what Next has come to.
func (s *Subscription) Event() Event { return s.event }

// Err is why Next has ended: nil after Close, and where this program closed the client.
func (s *Subscription) Err() error {
	if s.failure == nil {
		return nil
	}
	return s.failure
}

// Close ends the subscription; Next then gives what is there, and false. It does not wait. The error is always nil.
func (s *Subscription) Close() error {
	s.leave(nil)
	return nil
}

// watch closes the subscription when its context ends.
func (s *Subscription) watch(ctx context.Context) {
	select {
	case <-s.closed:
	case <-ctx.Done():
		s.leave(contextError(ctx, s.shared.pattern, "the context of the subscription has ended"))
	}
}

// leave takes the consumer away; with the last one of its pattern the subscription ends at the daemon too.
func (s *Subscription) leave(failure *Error) {
	s.end(failure)
	shared := s.shared
	c := shared.client
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for i, consumer := range shared.consumers {
		if consumer == s {
			shared.consumers = append(shared.consumers[:i:i], shared.consumers[i+1:]...)
			break
		}
	}
	if len(shared.consumers) > 0 || c.subscriptions[shared.pattern] != shared {
		return
	}
	delete(c.subscriptions, shared.pattern)
	if c.link != nil && (shared.isSubscribing || shared.isSubscribed) {
		c.link.request(unsubscribing{}, wire.Header{Kind: wire.Unsubscribe}, shared.pattern, nil, nil)
	}
}

// end tells the consumer that no more events come.
func (s *Subscription) end(failure *Error) {
	s.buffer.end(failure)
	s.closeOnce.Do(func() { close(s.closed) })
}

// transmit sends SUBSCRIBE; the client's mutex is held.
func (s *sharedSubscription) transmit(l *link) *Error {
	if failure := l.lack("events", s.pattern); failure != nil {
		return failure
	}
	l.hasSubscribed.Store(true)
	_, failure := l.request(s, wire.Header{Kind: wire.Subscribe}, s.pattern, nil, nil)
	s.isSubscribing = failure == nil
	return failure
}

// transmitAgain tries once more where the daemon has not taken it back; the client's mutex is held. It fails only where the
// connection has ended, and the next one has another try.
func (s *sharedSubscription) transmitAgain(l *link) {
	if !s.isSubscribed && !s.isSubscribing {
		s.transmit(l)
	}
}

// noteGap tells consumers that events may be missing; the client's mutex is held.
func (s *sharedSubscription) noteGap() {
	for _, consumer := range s.consumers {
		consumer.buffer.noteGap()
	}
}

// linkEnded says whether the subscription is to come back; the client's mutex is held.
func (s *sharedSubscription) linkEnded() bool {
	s.isSubscribing, s.isSubscribed = false, false
	return s.isEstablished
}

// end tells all consumers that no more events come, whose subscription nobody can join or leave any more.
func (s *sharedSubscription) end(failure *Error) {
	s.client.mutex.Lock()
	consumers := s.consumers
	s.consumers = nil
	s.client.mutex.Unlock()
	for _, consumer := range consumers {
		consumer.end(failure)
	}
}

// answer: RESULT of SUBSCRIBE.
func (s *sharedSubscription) answer(l *link, frame *wire.Frame) error {
	c := s.client
	var failure *Error
	if Status(frame.Status) != OK {
		failure = errorOfResult(frame, s.pattern)
	}
	c.mutex.Lock()
	if c.link != l || c.phase == closed {
		c.mutex.Unlock()
		s.fail(l.lossReason())
		return nil
	}
	s.isSubscribing = false
	s.isSubscribed = failure == nil
	isTransient := failure != nil &&
		(failure.Status == Overloaded || failure.Status == ShuttingDown || failure.Status == Unavailable)
	isTriedAgain := s.isEstablished && isTransient && len(s.consumers) > 0
	isOver := failure != nil && !isTriedAgain
	isFirst := !s.isEstablished
	if isTriedAgain {
		c.registerAgainLater()
	}
	if isOver && c.subscriptions[s.pattern] == s {
		delete(c.subscriptions, s.pattern)
	}
	if failure == nil {
		s.isEstablished = true
	}
	c.mutex.Unlock()
	if isTriedAgain {
		c.notices.tell(Notice{Kind: SubscriptionFailed, Err: failure})
	}
	if isFirst {
		s.refusal = failure
		close(s.answered)
	}
	if isOver {
		s.end(failure)
	}
	return nil
}

// fail: the connection has ended. Whoever waits for the first answer is told.
func (s *sharedSubscription) fail(failure *Error) {
	s.client.mutex.Lock()
	isFirst := !s.isEstablished
	s.client.mutex.Unlock()
	if isFirst {
		s.refusal = failure
		close(s.answered)
	}
}

// unsubscribing is an UNSUBSCRIBE under way: what the daemon does not have any more need not be ended.
type unsubscribing struct{}

func (unsubscribing) answer(*link, *wire.Frame) error { return nil }

func (unsubscribing) fail(*Error) {}
