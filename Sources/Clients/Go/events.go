package hostcall

import (
	"encoding/json"
	"sync"

	"hostcall/internal/wire"
)

// Event is something that somebody published, as a subscriber gets it (protocol section 4, Events).
type Event struct {
	// Name is the name under which it was published.
	Name string
	// Payload is what was published. Subscriptions of one client that get the same event share the bytes.
	Payload []byte
	// Encoding is what the payload's bytes are.
	Encoding Encoding
	// Metadata is what the publisher sent beside the payload; nil where there is none. It is shared like the payload.
	Metadata Metadata
	// Place is its place among all events that the daemon had for this connection, from 1; it starts again with each.
	Place uint64
	// DroppedBefore is how many events were dropped since the one before, because this subscriber was too slow: by the
	// daemon, which does not say which, so they need not have been of this name; or here, where they waited to be taken.
	DroppedBefore int
	// FollowsGap says whether the connection was lost since the one before, so that an unknown number never came.
	FollowsGap bool
}

// Text is the payload as text.
func (e Event) Text() string { return string(e.Payload) }

// JSON decodes the payload into value. Errors: Serialization.
func (e Event) JSON(value any) error {
	if err := json.Unmarshal(e.Payload, value); err != nil {
		return &Error{
			Status: Serialization, Function: e.Name, cause: err,
			Message: "the event is not what it should be: " + err.Error(),
		}
	}
	return nil
}

// eventEntryBytes is what a metadata entry counts beside its texts.
const eventEntryBytes = 3

func (e *Event) byteCount() int {
	count := len(e.Name) + len(e.Payload)
	for key, value := range e.Metadata {
		count += eventEntryBytes + len(key) + len(value)
	}
	return count
}

// eventBuffer is the events that wait for one consumer, bounded: the oldest make way for new ones, and are counted.
type eventBuffer struct {
	mostEvents int
	mostBytes  int

	mutex  sync.Mutex
	events []Event
	bytes  int
	// What the next event to come has to tell.
	dropped    int
	followsGap bool
	// No more events come.
	isOver bool
	// Why, where this program did not want it.
	failure *Error
	changes signal
}

// put takes an event that has come; it never waits.
func (b *eventBuffer) put(event Event) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.isOver {
		return
	}
	event.DroppedBefore += b.dropped
	event.FollowsGap = b.followsGap
	b.dropped, b.followsGap = 0, false
	b.events = append(b.events, event)
	b.bytes += event.byteCount()
	for len(b.events) > 1 && (len(b.events) > b.mostEvents || b.bytes > b.mostBytes) {
		b.dropOldest()
	}
	b.changes.broadcast()
}

// dropOldest makes room; what is lost is told by the event that is the oldest then.
func (b *eventBuffer) dropOldest() {
	oldest := b.take()
	b.events[0].DroppedBefore += oldest.DroppedBefore + 1
	b.events[0].FollowsGap = b.events[0].FollowsGap || oldest.FollowsGap
}

func (b *eventBuffer) take() Event {
	oldest := b.events[0]
	b.events[0] = Event{}
	b.events = b.events[1:]
	b.bytes -= oldest.byteCount()
	return oldest
}

// noteDropped: the daemon has dropped events of this connection, of which some may have been for this consumer.
func (b *eventBuffer) noteDropped(events int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.dropped += events
}

// noteGap: the connection was lost, and with it what was published meanwhile.
func (b *eventBuffer) noteGap() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.followsGap = true
}

// end: no more events come; those that are there are taken before.
func (b *eventBuffer) end(failure *Error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.isOver {
		b.isOver, b.failure = true, failure
	}
	b.changes.broadcast()
}

// next waits for an event; false at the end.
func (b *eventBuffer) next() (Event, bool, *Error) {
	for {
		b.mutex.Lock()
		if len(b.events) > 0 {
			defer b.mutex.Unlock()
			return b.take(), true, nil
		}
		if b.isOver {
			defer b.mutex.Unlock()
			return Event{}, false, b.failure
		}
		changed := b.changes.wait()
		b.mutex.Unlock()
		<-changed
	}
}

// receiveEvent: EVENT has come, once for all patterns that its name matches.
func (l *link) receiveEvent(frame *wire.Frame) error {
	if !l.hasSubscribed.Load() {
		return wire.Violationf("EVENT without a subscription")
	}
	dropped := int(frame.Aux)
	if frame.IsTooLarge {
		dropped++
	}
	c := l.client
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if dropped > 0 {
		for _, subscription := range c.subscriptions {
			for _, consumer := range subscription.consumers {
				consumer.buffer.noteDropped(dropped)
			}
		}
	}
	if frame.IsTooLarge {
		return nil
	}
	event := Event{
		Name: string(frame.Name), Payload: frame.TakePayload(), Encoding: Encoding(frame.Encoding),
		Metadata: decodeMetadata(frame.Metadata), Place: frame.ID,
	}
	wire.PatternsOf(event.Name, func(pattern string) {
		if subscription := c.subscriptions[pattern]; subscription != nil {
			for _, consumer := range subscription.consumers {
				consumer.buffer.put(event)
			}
		}
	})
	return nil
}
