package hostcall

import (
	"context"
	"sync"
	"time"

	"hostcall/internal/wire"
)

// Stream is a call whose result items, argument items, or both come and go while it runs (protocol section 4, Streams).
//
//	stream, err := client.Stream(ctx, "numbers", []byte("1000000"))
//	if err != nil { return err }
//	defer stream.Close()
//	for stream.Next() { use(stream.Item()) }
//	if err := stream.Err(); err != nil { return err }
//
// Next, Item, Err and Reply are for one goroutine; Done, Send, CloseSend and Close for any.
type Stream struct {
	ctx       context.Context
	link      *link
	id        uint64
	name      string
	items     *itemReceiver
	arguments *itemSender
	item      Item
	// What Next has found at the end of the items.
	failure *Error
	// Somebody has taken an item, so that Reply does not drop them.
	hasBegun bool

	mutex sync.Mutex
	// It was cancelled, by Close or by its context.
	isCancelled bool
	isClosed    bool
	isOver      bool
	reply       *Reply
	ending      *Error
	// Closed when the outcome is known.
	done chan struct{}
}

// Stream calls a host function and takes result items as they come: at most [Window] of them are on their way, so a slow
// reader slows the worker, and nobody else. With [SendArguments] argument items follow the payload.
//
// The context is for the whole call, as that of [Client.Call], and for Next. Errors: where the call could not be sent;
// everything else is the stream's.
func (c *Client) Stream(
	ctx context.Context, name string, payload []byte, options ...StreamOption,
) (*Stream, error) {
	s := callSettings{window: c.itemWindow}
	for _, option := range options {
		option.applyToCall(&s)
	}
	call, failure := s.check(name, inheritedFrom(ctx))
	if failure != nil {
		return nil, failure
	}
	stream, failure := c.sendStream(ctx, &call, payload)
	if failure != nil {
		return nil, failure
	}
	if ctx.Done() != nil {
		go stream.watch()
	}
	return stream, nil
}

func (c *Client) sendStream(ctx context.Context, call *checkedCall, payload []byte) (*Stream, *Error) {
	link, failure := c.acquire(ctx, call.name)
	if failure != nil {
		return nil, failure
	}
	if failure := link.lack("streams", call.name); failure != nil {
		return nil, failure
	}
	stream := &Stream{ctx: ctx, name: call.name, done: make(chan struct{})}
	// Items may come as soon as the call is sent, which a lock keeps them from until everything is in place.
	stream.mutex.Lock()
	defer stream.mutex.Unlock()
	stream.link, stream.id, failure = c.sendCall(ctx, call, payload, stream)
	if failure != nil {
		return nil, failure
	}
	if call.window > 0 {
		stream.items = newItemReceiver(stream.link, stream.id, call.window, call.window)
	}
	if call.flags&wire.Open != 0 {
		stream.arguments = newItemSender(stream.link, stream.id, 0)
	}
	return stream, nil
}

// Next waits for the next item; false when the call has ended, of which Err and Reply tell, and after Close.
func (s *Stream) Next() bool {
	s.hasBegun = true
	if s.items == nil {
		<-s.done
		s.failure = s.ending
		return false
	}
	item, isItem, failure := s.items.next(context.Background())
	if !isItem && failure == nil {
		failure = s.lostItems()
	}
	s.item, s.failure = item, failure
	return isItem
}

// lostItems is nil where all items have come; a call that was cancelled may have succeeded all the same, and its items
// be dropped.
func (s *Stream) lostItems() *Error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !s.isCancelled {
		return nil
	}
	return &Error{
		Status: Cancelled, Function: s.name, cause: s.ctx.Err(), Message: "its items were dropped when it was cancelled",
	}
}

// Item is what Next has come to.
func (s *Stream) Item() Item { return s.item }

// Err is why Next has ended: nil where the call has succeeded, or was closed by this program before it had ended.
func (s *Stream) Err() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.failure == nil || s.isClosed {
		return nil
	}
	return s.failure
}

// Reply waits for the outcome of the call: what the handler returned after its last item. Where Next was never called, it
// drops the items, so it may be all that is wanted of a stream. Otherwise it is for when Next has given false.
func (s *Stream) Reply() (*Reply, error) {
	if s.items != nil && !s.hasBegun {
		s.items.dropRest()
	}
	<-s.done
	if s.ending != nil {
		return nil, s.ending
	}
	return s.reply, nil
}

// Done is closed when the outcome of the call is known, whether or not every item has been taken.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Send sends an argument item; it waits while the worker does not take more. It returns when the item is on its way, not
// when it has arrived. Several goroutines may send.
//
// Errors: InvalidArgument where the stream was made without [SendArguments] or after CloseSend, TooLarge, the context's,
// and the reason where the call has ended.
func (s *Stream) Send(ctx context.Context, payload []byte) error {
	return s.SendItem(ctx, Item{Payload: payload})
}

// SendItem is Send for items that have an encoding.
func (s *Stream) SendItem(ctx context.Context, item Item) error {
	if s.arguments == nil {
		return &Error{
			Status: InvalidArgument, Function: s.name,
			Message: "the call takes no argument items (see SendArguments)",
		}
	}
	if failure := s.arguments.send(ctx, item); failure != nil {
		return failure.about(s.name)
	}
	return nil
}

// CloseSend says that no more argument items follow. Doing it twice, or after the call has ended, is fine.
func (s *Stream) CloseSend() {
	if s.arguments != nil {
		s.arguments.sendEnd()
	}
}

// Close cancels the call, also in the worker, unless it has ended; Next then gives false, and Err nil. It does not wait.
// The error is always nil.
func (s *Stream) Close() error {
	s.mutex.Lock()
	if !s.isOver {
		s.isClosed = true
	}
	s.mutex.Unlock()
	s.giveUp(&Error{Status: Cancelled, Function: s.name, Message: "the stream was closed"})
	return nil
}

// watch ends the call when its context ends.
func (s *Stream) watch() {
	select {
	case <-s.done:
		return
	case <-s.ctx.Done():
	}
	if s.ctx.Err() != context.DeadlineExceeded {
		s.cancel()
	}
	grace := time.NewTimer(s.link.client.cancelGrace)
	defer grace.Stop()
	select {
	case <-s.done:
	case <-grace.C:
		s.giveUp(s.link.unanswered(s.ctx, s.name))
	}
}

// giveUp ends the call here, whatever the daemon says later.
func (s *Stream) giveUp(failure *Error) {
	s.cancel()
	s.finish(nil, failure)
	s.link.abandon(s.id)
}

// cancel sends CANCEL, once, and takes no more items.
func (s *Stream) cancel() {
	s.mutex.Lock()
	isDone := s.isCancelled || s.isOver
	s.isCancelled = true
	s.mutex.Unlock()
	if isDone {
		return
	}
	if s.items != nil {
		s.items.abandon()
	}
	s.link.cancel(s.id)
}

// answer: RESULT.
func (s *Stream) answer(l *link, frame *wire.Frame) error {
	s.finish(l.outcome(frame, s.name))
	return nil
}

// fail: the connection has ended.
func (s *Stream) fail(failure *Error) { s.finish(nil, failure.about(s.name)) }

// finish: the outcome is known. The first one counts.
func (s *Stream) finish(reply *Reply, failure *Error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.isOver {
		return
	}
	s.isOver = true
	if failure != nil {
		failure = failure.because(s.ctx)
	}
	s.reply, s.ending = reply, failure
	if s.items != nil {
		s.items.end(failure)
	}
	if s.arguments != nil {
		over := failure
		if over == nil {
			over = &Error{Status: Late, Message: "the call has ended"}
		}
		s.arguments.end(over)
	}
	close(s.done)
}

// streams gives back what items and credit of the call go to.
func (s *Stream) streams() (*itemReceiver, *itemSender) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.items, s.arguments
}
