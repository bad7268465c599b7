package hostcall

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"hostcall/internal/wire"
)

// Reply is the result of a call.
type Reply struct {
	// Payload is its bytes; nil where there are none.
	Payload []byte
	// Encoding is what the bytes are.
	Encoding Encoding
	// Metadata is what goes beside the payload; nil where there is none.
	Metadata Metadata
	// CorrelationID is the number by which worker, logs and tools know the call. A handler leaves it out.
	CorrelationID uint64
}

// Text is the payload as text.
func (r *Reply) Text() string { return string(r.Payload) }

// JSON decodes the payload into value. Errors: Serialization.
func (r *Reply) JSON(value any) error {
	if err := json.Unmarshal(r.Payload, value); err != nil {
		return &Error{
			Status: Serialization, CorrelationID: r.CorrelationID, cause: err,
			Message: "the result is not what it should be: " + err.Error(),
		}
	}
	return nil
}

// Call calls a host function and waits for its outcome (protocol section 4, Calling).
//
// The context's deadline goes with the call: the daemon ends it with TIMEOUT when it passes, and an error says so, by the
// daemon's word. Without one the daemon's default holds, 30 s. When the context is cancelled the call is cancelled, also
// in the worker; Call then returns the daemon's word on how the call has ended, which comes at once: mostly an error
// that wraps context.Canceled, or the result, where that was on its way already. A daemon that does not answer is waited
// for no longer than [CancelGrace] after the context has ended, and a connection until then.
//
// The payload may be used again when Call returns. Errors: *[Error].
func (c *Client) Call(ctx context.Context, name string, payload []byte, options ...CallOption) (*Reply, error) {
	s := callSettings{}
	for _, option := range options {
		option.applyToCall(&s)
	}
	call, failure := s.check(name, inheritedFrom(ctx))
	if failure != nil {
		return nil, failure
	}
	pending := pendingCalls.Get().(*pendingCall)
	pending.name = name
	link, id, failure := c.sendCall(ctx, &call, payload, pending)
	if failure != nil {
		return nil, failure
	}
	select {
	case o := <-pending.outcome:
		return pending.take(ctx, o)
	case <-ctx.Done():
		return pending.waitAfter(ctx, link, id)
	}
}

// CallNoReply calls a host function and wants no answer, whatever happens (protocol section 5, NO_REPLY). It returns when
// the call is on its way to the daemon. Errors: those where it could not be sent.
func (c *Client) CallNoReply(ctx context.Context, name string, payload []byte, options ...CallOption) error {
	s := callSettings{}
	for _, option := range options {
		option.applyToCall(&s)
	}
	s.flags |= wire.NoReply
	call, failure := s.check(name, inheritedFrom(ctx))
	if failure != nil {
		return failure
	}
	if _, _, failure = c.sendCall(ctx, &call, payload, nil); failure != nil {
		return failure
	}
	return nil
}

// sendCall writes CALL, whose RESULT r will be told of; there is none where r is nil.
func (c *Client) sendCall(
	ctx context.Context, call *checkedCall, payload []byte, r requester,
) (*link, uint64, *Error) {
	if ctx.Err() != nil {
		return nil, 0, contextError(ctx, call.name, "the context had ended before the call was sent")
	}
	link, failure := c.acquire(ctx, call.name)
	if failure != nil {
		return nil, 0, failure
	}
	if failure := link.refusal("the call", call.name, call.bodyBytes(payload)); failure != nil {
		return nil, 0, failure
	}
	header := wire.Header{
		Kind: wire.Call, Flags: call.flags, Encoding: uint8(call.encoding), Aux: uint32(call.window),
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if left <= 0 {
			return nil, 0, &Error{
				Status: Timeout, Function: call.name, cause: context.DeadlineExceeded,
				Message: "no time was left when it was to be sent",
			}
		}
		header.Timeout = wireMilliseconds(left)
	}
	if r == nil {
		header.ID = link.nextID()
		if !link.output.append(header, call.name, call.metadata, payload) {
			return nil, 0, link.lossReason().about(call.name)
		}
		return link, header.ID, nil
	}
	id, failure := link.request(r, header, call.name, call.metadata, payload)
	if failure != nil {
		return nil, 0, failure.about(call.name)
	}
	return link, id, nil
}

// wireMilliseconds is a duration as the protocol has it: whole milliseconds in 32 bits, rounded up, 0 for none.
func wireMilliseconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	milliseconds := (uint64(d) + uint64(time.Millisecond) - 1) / uint64(time.Millisecond)
	if milliseconds > 1<<32-1 {
		return 1<<32 - 1
	}
	return uint32(milliseconds)
}

// pendingCall is a call that waits for its RESULT; it is used again for another when that has been taken.
type pendingCall struct {
	name string
	// Has room for the one outcome.
	outcome chan callOutcome
}

type callOutcome struct {
	reply   *Reply
	failure *Error
}

var pendingCalls = sync.Pool{New: func() any { return &pendingCall{outcome: make(chan callOutcome, 1)} }}

func (p *pendingCall) answer(l *link, frame *wire.Frame) error {
	reply, failure := l.outcome(frame, p.name)
	p.outcome <- callOutcome{reply, failure}
	return nil
}

func (p *pendingCall) fail(failure *Error) {
	p.outcome <- callOutcome{nil, failure.about(p.name)}
}

func (p *pendingCall) take(ctx context.Context, o callOutcome) (*Reply, error) {
	pendingCalls.Put(p)
	if o.failure != nil {
		return nil, o.failure.because(ctx)
	}
	return o.reply, nil
}

// waitAfter waits for the outcome of a call whose context has ended.
func (p *pendingCall) waitAfter(ctx context.Context, l *link, id uint64) (*Reply, error) {
	if ctx.Err() != context.DeadlineExceeded {
		l.cancel(id)
	}
	grace := time.NewTimer(l.client.cancelGrace)
	defer grace.Stop()
	select {
	case o := <-p.outcome:
		return p.take(ctx, o)
	case <-grace.C:
	}
	if ctx.Err() == context.DeadlineExceeded {
		l.cancel(id)
	}
	l.abandon(id)
	// The outcome may still come, and so this one is not used again.
	return nil, l.unanswered(ctx, p.name)
}

// cancel sends CANCEL. Where the RESULT is on its way already it does nothing.
func (l *link) cancel(id uint64) {
	l.output.append(wire.Header{Kind: wire.Cancel, ID: id}, "", nil, nil)
}

// unanswered is what a caller gets whose context has ended, and whose daemon does not say how the call has.
func (l *link) unanswered(ctx context.Context, function string) *Error {
	end := "the cancellation"
	if ctx.Err() == context.DeadlineExceeded {
		end = "the deadline"
	}
	return contextError(ctx, function,
		"the daemon has not answered within "+l.client.cancelGrace.String()+" of "+end+" (CancelGrace)")
}

// because is the error of a call whose context may have ended, which then has brought it about.
func (e *Error) because(ctx context.Context) *Error {
	if cause := ctx.Err(); cause != nil && e.cause == nil && (e.Status == Cancelled || e.Status == Timeout) {
		e.cause = cause
	}
	return e
}
