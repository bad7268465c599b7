package hostcall

import (
	"context"
	"sync"

	"hostcall/internal/wire"
)

// Item is one piece of a stream (protocol section 4, Streams).
type Item struct {
	// Payload is its bytes; the receiver's to keep and change.
	Payload []byte
	// Encoding is what the bytes are.
	Encoding Encoding
}

// Text is the payload as text.
func (i Item) Text() string { return string(i.Payload) }

// itemReceiver is the items of one stream on their way from the connection to whoever takes them, bounded by the credit
// that was given for them. Items that came before the end are taken before it.
type itemReceiver struct {
	link *link
	// What ITEM and CREDIT carry.
	id     uint64
	window int

	mutex sync.Mutex
	items []Item
	// How many more the sender may send.
	credit    int
	nextPlace uint32
	// Nothing is kept any more; what comes counts as taken, so that the stream runs to its end.
	isDropping bool
	// Nothing is wanted any more: the call is being cancelled.
	isAbandoned bool
	// No more items come.
	isOver bool
	// Why they do not; nil where the stream is complete.
	failure *Error
	changes signal
}

// newItemReceiver makes a stream whose sender may send credit items to begin with, and window at once later.
func newItemReceiver(l *link, id uint64, window, credit int) *itemReceiver {
	return &itemReceiver{link: l, id: id, window: window, credit: credit}
}

// put takes an ITEM that has come. Errors: it came without credit, out of order, or after the last one; the daemon does not
// read the credit that it is given. An empty item with LAST is only the end and takes no credit.
func (r *itemReceiver) put(frame *wire.Frame) error {
	isLast := frame.Flags&wire.Last != 0
	r.mutex.Lock()
	defer r.mutex.Unlock()
	switch {
	case r.isAbandoned:
		// The call is over here, and the daemon has not heard of it yet.
		return nil
	case r.isOver:
		if r.failure != nil {
			return nil
		}
		return wire.Violationf("ITEM after the last one")
	case frame.Aux != r.nextPlace:
		return wire.Violationf("ITEM at the place %d, not %d", frame.Aux, r.nextPlace)
	}
	if !isLast || len(frame.Payload) > 0 {
		if r.credit == 0 {
			return wire.Violationf("ITEM without credit")
		}
		r.credit--
		r.nextPlace++
		if r.isDropping {
			if r.link.isUnread() {
				return errUnread
			}
			r.grant(r.creditDue())
		} else {
			r.items = append(r.items, Item{frame.TakePayload(), Encoding(frame.Encoding)})
		}
	}
	r.isOver = isLast
	r.changes.broadcast()
	return nil
}

// end: no more items come; failure is nil where the stream is complete.
func (r *itemReceiver) end(failure *Error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if !r.isOver {
		r.isOver, r.failure = true, failure
	}
	r.changes.broadcast()
}

// dropRest drops what is there and what comes, as if it were taken.
func (r *itemReceiver) dropRest() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.isDropping = true
	r.items = nil
	r.grant(r.creditDue())
}

// abandon drops what is there and grants nothing any more; what still comes is passed over.
func (r *itemReceiver) abandon() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.isAbandoned = true
	r.items = nil
}

// next waits for an item; false at the end. The context ends the wait alone.
func (r *itemReceiver) next(ctx context.Context) (Item, bool, *Error) {
	for {
		r.mutex.Lock()
		if len(r.items) > 0 {
			item := r.items[0]
			r.items[0] = Item{}
			r.items = r.items[1:]
			r.grant(r.creditDue())
			r.mutex.Unlock()
			return item, true, nil
		}
		if r.isOver {
			defer r.mutex.Unlock()
			return Item{}, false, r.failure
		}
		r.grant(r.creditDue())
		changed := r.changes.wait()
		r.mutex.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return r.endedWhileWaiting(ctx)
		}
	}
}

// endedWhileWaiting prefers the reason why the stream has ended to the context, which is cancelled because of it.
func (r *itemReceiver) endedWhileWaiting(ctx context.Context) (Item, bool, *Error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.isOver && r.failure != nil {
		return Item{}, false, r.failure
	}
	return Item{}, false, contextError(ctx, "", "the context has ended before the next item came")
}

// creditDue is what the window has room for, once that is half of it.
func (r *itemReceiver) creditDue() int {
	if r.isOver || r.isAbandoned {
		return 0
	}
	room := r.window - len(r.items) - r.credit
	if room < (r.window+1)/2 {
		return 0
	}
	return room
}

// grant sends CREDIT. The mutex is held, so that credit is counted before an item spends it.
func (r *itemReceiver) grant(items int) {
	if items > 0 {
		r.credit += items
		r.link.output.append(wire.Header{Kind: wire.Credit, ID: r.id, Aux: uint32(items)}, "", nil, nil)
	}
}
