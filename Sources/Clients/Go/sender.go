package hostcall

import (
	"context"
	"sync"

	"hostcall/internal/wire"
)

// itemSender is the items of one stream on their way to the daemon, no more of them than there is credit for. Who sends
// waits while there is none, and while the daemon does not read.
type itemSender struct {
	link *link
	// What ITEM and CREDIT carry.
	id uint64

	mutex     sync.Mutex
	credit    uint64
	nextPlace uint32
	// No more can be sent; the reason.
	failure *Error
	changes signal
}

func newItemSender(l *link, id uint64, credit uint32) *itemSender {
	return &itemSender{link: l, id: id, credit: uint64(credit)}
}

// send waits until one item may be sent, and sends it.
func (s *itemSender) send(ctx context.Context, item Item) *Error {
	if !wire.EncodingIsAssigned(uint8(item.Encoding)) {
		return &Error{Status: InvalidArgument, Message: "the encoding " + item.Encoding.String() + " is reserved"}
	}
	if failure := s.link.tooLarge("the item", len(item.Payload)); failure != nil {
		return failure
	}
	for {
		isSent, changed, falls, failure := s.trySend(item)
		if isSent || failure != nil {
			return failure
		}
		select {
		case <-changed:
		case <-falls:
		case <-ctx.Done():
			return s.endedWhileWaiting(ctx)
		}
	}
}

// trySend sends the item, or says what has to be waited for: credit or the end, and, where it is not nil, that the daemon
// reads.
func (s *itemSender) trySend(item Item) (isSent bool, changed, falls <-chan struct{}, failure *Error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.failure != nil {
		return false, nil, nil, s.failure
	}
	if s.credit == 0 {
		return false, s.changes.wait(), nil, nil
	}
	if falls := s.link.output.above(s.link.client.itemQueueBytes); falls != nil {
		return false, s.changes.wait(), falls, nil
	}
	s.credit--
	s.append(item, 0)
	return true, nil, nil, nil
}

// append writes ITEM; the mutex is held, so that places and frames are in the same order.
func (s *itemSender) append(item Item, flags wire.Flags) {
	s.link.output.append(wire.Header{
		Kind: wire.Item, Flags: flags, Encoding: uint8(item.Encoding), ID: s.id, Aux: s.nextPlace,
	}, "", nil, item.Payload)
	s.nextPlace++
}

// endedWhileWaiting prefers the reason why the stream has ended to the context, which is cancelled because of it.
func (s *itemSender) endedWhileWaiting(ctx context.Context) *Error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.failure != nil {
		return s.failure
	}
	return contextError(ctx, "", "the context has ended before there was credit for the item")
}

// sendEnd says that no more items follow, once; the end needs no credit.
func (s *itemSender) sendEnd() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.failure != nil {
		return
	}
	s.append(Item{}, wire.Last)
	s.failure = &Error{Status: InvalidArgument, Message: "no item can follow CloseSend"}
	s.changes.broadcast()
}

// addCredit: CREDIT has come. A sum past 64 bits would take more of it than can be sent in a century.
func (s *itemSender) addCredit(items uint32) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.credit += uint64(items)
	s.changes.broadcast()
}

// end: no more items can be sent; who waits or comes later gets the failure.
func (s *itemSender) end(failure *Error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.failure == nil {
		s.failure = failure
	}
	s.changes.broadcast()
}
