package hostcall

import (
	"errors"
	"fmt"

	"hostcall/internal/wire"
)

// read takes what comes until the connection ends. It never waits for anybody but the daemon.
func (l *link) read() {
	defer close(l.readerDone)
	for {
		frame, err := l.reader.Next()
		if err == nil {
			err = l.receive(frame)
		}
		if err == nil {
			continue
		}
		var violation *wire.Violation
		if errors.As(err, &violation) {
			l.output.append(
				wire.Header{Kind: wire.Goaway, Status: wire.StatusProtocol}, "", nil, []byte(violation.Reason))
			l.lose(l.ended("the daemon broke the protocol: "+violation.Reason, ProtocolViolation, FromClient, nil))
		} else {
			l.lose(l.ended(endReason(err), OK, FromClient, err))
		}
		return
	}
}

// receive takes one frame. Errors: a violation, or errUnread.
func (l *link) receive(frame *wire.Frame) error {
	if frame.Flags&wire.Descriptors != 0 {
		return wire.Violationf("%s with descriptors, which this client has not asked for", frame.Kind)
	}
	if frame.IsTooLarge {
		switch frame.Kind {
		case wire.Result, wire.Invoke, wire.Item, wire.Event:
		default:
			return wire.Violationf("%s of %d bytes", frame.Kind, frame.Size)
		}
	}
	switch frame.Kind {
	case wire.Result:
		return l.receiveResult(frame)
	case wire.Invoke:
		return l.receiveInvoke(frame)
	case wire.Cancel:
		l.receiveCancel(frame)
	case wire.Item:
		return l.receiveItem(frame)
	case wire.Credit:
		l.receiveCredit(frame)
	case wire.Rejected:
		l.receiveRejected(frame)
	case wire.Ping:
		return l.receivePing(frame)
	case wire.Pong:
		l.receivePong(frame)
	case wire.Goaway:
		l.receiveGoaway(frame)
	case wire.Event:
		return l.receiveEvent(frame)
	default:
		return wire.Violationf("a second %s", frame.Kind)
	}
	return nil
}

func (l *link) receiveResult(frame *wire.Frame) error {
	l.mutex.Lock()
	r, ok := l.requests[frame.ID]
	delete(l.requests, frame.ID)
	_, isAbandoned := l.abandoned[frame.ID]
	delete(l.abandoned, frame.ID)
	isOver := l.lost != nil
	if len(l.requests) == 0 {
		l.changes.broadcast()
	}
	l.mutex.Unlock()
	if !ok {
		if isOver || isAbandoned {
			return nil
		}
		return wire.Violationf("RESULT for the request %d, which is not outstanding", frame.ID)
	}
	return r.answer(l, frame)
}

// outcome is what a RESULT is to whoever called.
func (l *link) outcome(frame *wire.Frame, function string) (*Reply, *Error) {
	if frame.IsTooLarge {
		return nil, &Error{
			Status: TooLarge, Function: function, CorrelationID: frame.Call(),
			Message: l.notTaken("the result", frame),
		}
	}
	if Status(frame.Status) != OK {
		return nil, errorOfResult(frame, function)
	}
	return &Reply{
		Payload: frame.TakePayload(), Encoding: Encoding(frame.Encoding), Metadata: decodeMetadata(frame.Metadata),
		CorrelationID: frame.Call(),
	}, nil
}

// notTaken is a frame that was skipped, in words.
func (l *link) notTaken(what string, frame *wire.Frame) string {
	return fmt.Sprintf("%s has %d bytes, and this client takes %d at most (LargestFrame)",
		what, frame.Size, l.client.largestFrameBytes)
}

func (l *link) receiveRejected(frame *wire.Frame) {
	l.mutex.Lock()
	_, runs := l.running[frame.ID]
	l.mutex.Unlock()
	// An item or credit that met the end of its call on the way, of which CANCEL tells.
	if runs {
		return
	}
	l.client.notices.tell(Notice{
		Kind: CompletionRejected, CorrelationID: frame.ID,
		Err: &Error{
			Status: Status(frame.Status), Origin: FromDaemon, CorrelationID: frame.ID,
			Message: "a completion was not taken",
		},
	})
}
