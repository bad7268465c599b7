package hostcall

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"hostcall/internal/wire"
)

// Failure is an error that says how a handler's call ends, whole: status, bytes, encoding, metadata. Return a pointer.
type Failure struct {
	// Status is Failed where it is OK, or one that a worker may not use (protocol section 4, Completing).
	Status Status
	// Payload is the error, as the caller gets it.
	Payload []byte
	// Encoding is what the payload's bytes are.
	Encoding Encoding
	// Metadata goes beside the payload.
	Metadata Metadata
}

// Error is the status, and the payload where that is text.
func (f *Failure) Error() string {
	return joinNonEmpty(f.Status.String(), printableText(payloadText(f.Payload, f.Encoding)))
}

// mostWaitingOutcomes is how many handlers may have finished and wait for a daemon that does not read; one that sends them
// more calls all the same is given up.
const mostWaitingOutcomes = 16384

// completion is what ends an INVOKE, in the form in which it may be sent.
type completion struct {
	status   Status
	encoding Encoding
	metadata []byte
	payload  []byte
}

func textCompletion(status Status, text string) completion {
	return completion{status: status, payload: []byte(text)}.fitting(uint64(len(text)))
}

// fitting is the completion, whose body has so many bytes, where a frame can carry it; else FAILED, in words.
func (c completion) fitting(bodyBytes uint64) completion {
	if bodyBytes <= wire.LargestBodyBytes {
		return c
	}
	return textCompletion(Failed, fmt.Sprintf(
		"the handler's reply cannot be sent: it has %d bytes, and %d fit into a frame",
		bodyBytes, uint64(wire.LargestBodyBytes)))
}

// newCompletion refuses, in words, what a worker may not send.
func newCompletion(status Status, payload []byte, encoding Encoding, metadata Metadata) completion {
	if !wire.StatusMayComplete(uint8(status)) || !wire.StatusIsAssigned(uint8(status)) {
		status = Failed
	}
	encoded, err := metadata.encode()
	if err == nil && !wire.EncodingIsAssigned(uint8(encoding)) {
		err = errors.New("the encoding " + encoding.String() + " is reserved")
	}
	if err != nil {
		return textCompletion(Failed, "the handler's reply cannot be sent: "+err.Error())
	}
	return completion{status: status, encoding: encoding, metadata: encoded, payload: payload}.fitting(
		uint64(len(encoded)) + uint64(len(payload)))
}

// completionOfError is what an error that a handler returns comes to.
func completionOfError(ctx context.Context, err error) completion {
	var failure *Failure
	if errors.As(err, &failure) && failure != nil {
		status := failure.Status
		if status == OK {
			status = Failed
		}
		return newCompletion(status, failure.Payload, failure.Encoding, failure.Metadata)
	}
	status := Failed
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		status = Cancelled
		if ctx.Err() == context.DeadlineExceeded {
			status = Timeout
		}
	}
	return textCompletion(status, err.Error())
}

// receiveInvoke: INVOKE has come; its handler is started.
func (l *link) receiveInvoke(frame *wire.Frame) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.lost != nil {
		return nil
	}
	registration := l.functions[frame.Function]
	if registration == nil {
		return wire.Violationf("INVOKE with the handle %d, which it never gave out", frame.Function)
	}
	if _, runs := l.running[frame.ID]; runs {
		return wire.Violationf("INVOKE of the call %d, which runs already", frame.ID)
	}
	if frame.ID&requestMark != 0 {
		return wire.Violationf("INVOKE with the correlation id %d, whose highest bit is a request's", frame.ID)
	}
	if l.waitingOutcomes >= mostWaitingOutcomes {
		return errUnread
	}
	if frame.IsTooLarge {
		if l.isUnread() {
			return errUnread
		}
		text := fmt.Sprintf("the worker takes %d bytes at most (LargestFrame), and the call has %d",
			l.client.largestFrameBytes, frame.Size)
		refusal := textCompletion(BufferTooSmall, text)
		l.output.append(
			wire.Header{Kind: wire.Complete, Status: uint8(refusal.status), ID: frame.ID}, "", nil, refusal.payload)
		return nil
	}
	name := registration.name
	if len(frame.Name) > 0 {
		name = string(frame.Name)
	} else if wire.IsPattern(name) {
		return wire.Violationf("INVOKE of the pattern %s without a name", name)
	}
	request := &Request{
		Function: name, Payload: frame.TakePayload(), Encoding: Encoding(frame.Encoding),
		Metadata: decodeMetadata(frame.Metadata), CorrelationID: frame.ID,
		Deadline:     time.Now().Add(time.Duration(frame.Timeout) * time.Millisecond),
		IsIdempotent: frame.Flags&wire.Idempotent != 0, registration: registration, link: l,
	}
	if frame.Flags&wire.Open != 0 {
		request.arguments = newItemReceiver(l, frame.ID, l.client.itemWindow, 0)
	}
	if frame.Aux > 0 {
		request.results = newItemSender(l, frame.ID, frame.Aux)
	}
	outer := context.WithValue(context.Background(), inheritedKey{}, &inherited{
		correlationID: frame.ID, traceParent: request.Metadata[traceParentKey],
		traceState: request.Metadata[traceStateKey],
	})
	request.ctx, request.cancel = context.WithDeadline(outer, request.Deadline)
	l.running[frame.ID] = request
	go request.run()
	return nil
}

// run runs the handler and completes the call.
func (r *Request) run() {
	defer r.cancel()
	returned := false
	defer func() {
		if returned {
			return
		}
		// Also where the handler has ended its goroutine, or panicked with nil.
		text := "the handler has ended its goroutine, and not returned"
		if value := recover(); value != nil {
			text = fmt.Sprint(value)
		}
		r.link.client.notices.tell(Notice{
			Kind: HandlerPanicked, CorrelationID: r.CorrelationID,
			Err: fmt.Errorf("%s: %s (call %d)\n%s", r.Function, text, r.CorrelationID, debug.Stack()),
		})
		r.complete(textCompletion(Panic, text))
	}()
	c := r.outcome()
	returned = true
	if c.status == Timeout && r.ctx.Err() == context.DeadlineExceeded {
		r.waitForEnd()
	}
	r.complete(c)
}

// waitForEnd has a handler that has run out of time wait for the daemon to say so: its clock is the one that counts, it
// tells the caller which deadline was met, and its CANCEL is about to come.
func (r *Request) waitForEnd() {
	l := r.link
	l.mutex.Lock()
	ends := r.ends.wait()
	isOver := r.wasEnded || l.lost != nil
	l.mutex.Unlock()
	if isOver {
		return
	}
	grace := time.NewTimer(l.client.cancelGrace)
	defer grace.Stop()
	select {
	case <-ends:
	case <-grace.C:
	}
}

// outcome is what the handler comes to. Whatever panics in here, the text of an error too, is the handler's.
func (r *Request) outcome() completion {
	reply, err := r.registration.handler(r.ctx, r)
	switch {
	case err != nil:
		return completionOfError(r.ctx, err)
	case reply == nil:
		return completion{}
	}
	return newCompletion(OK, reply.Payload, reply.Encoding, reply.Metadata)
}

// complete ends the call, unless the connection that it came by has ended. It waits for a daemon that does not read.
func (r *Request) complete(c completion) {
	r.endStreams(&Error{
		Status: Late, Function: r.Function, CorrelationID: r.CorrelationID, Message: "the call has been completed",
	})
	l := r.link
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for l.lost == nil {
		if r.wasEnded {
			// The call has ended, so whatever the handler came to reaches nobody.
			c = completion{status: Cancelled}
		}
		falls := l.write(r.CorrelationID, c)
		if falls == nil {
			delete(l.running, r.CorrelationID)
			if len(l.running) == 0 {
				l.changes.broadcast()
			}
			return
		}
		l.waitingOutcomes++
		l.mutex.Unlock()
		<-falls
		l.mutex.Lock()
		l.waitingOutcomes--
	}
}

// write sends COMPLETE, or says what has to be waited for before there is room for it. One that is larger than max-frame
// goes as it is: the daemon reads it away, ends the call with TOO_LARGE and tells the worker so (protocol section 3).
func (l *link) write(correlationID uint64, c completion) (falls <-chan struct{}) {
	return l.output.appendWithin(l.client.largestQueueBytes, wire.Header{
		Kind: wire.Complete, Encoding: uint8(c.encoding), Status: uint8(c.status), ID: correlationID,
	}, "", c.metadata, c.payload)
}

// receiveCancel: the call has ended, and its handler is asked to stop.
func (l *link) receiveCancel(frame *wire.Frame) {
	l.mutex.Lock()
	request := l.running[frame.ID]
	if request != nil {
		request.wasEnded = true
		request.ends.broadcast()
	}
	l.mutex.Unlock()
	if request != nil {
		request.end(&Error{
			Status: Status(frame.Status), Origin: FromDaemon, Function: request.Function, CorrelationID: frame.ID,
			Message: "the call has ended",
		})
	}
}

// end tells the handler that its call is over.
func (r *Request) end(failure *Error) {
	r.endStreams(failure)
	r.cancel()
}

func (r *Request) endStreams(failure *Error) {
	if r.arguments != nil {
		r.arguments.end(failure)
	}
	if r.results != nil {
		r.results.end(failure)
	}
}
