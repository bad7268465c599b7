package hostcall

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

// Request is a call as its handler gets it. For tests of handlers one can be made as a literal: its caller sends and
// takes no items.
type Request struct {
	// Function is the name that was called. Where a pattern was registered it is the full name.
	Function string
	// Payload is the argument; the handler's to keep and change.
	Payload []byte
	// Encoding is what the payload's bytes are.
	Encoding Encoding
	// Metadata is what the caller sent beside the argument, and what the daemon added; nil where there is none.
	Metadata Metadata
	// CorrelationID is the number by which caller, logs and tools know the call.
	CorrelationID uint64
	// Deadline is when the call ends by itself, that of the handler's context; a result after it reaches nobody.
	Deadline time.Time
	// IsIdempotent says whether the call may have been sent to a worker before, and may be again.
	IsIdempotent bool

	registration *Registration
	link         *link
	ctx          context.Context
	cancel       context.CancelFunc
	// Guarded by the link's mutex: CANCEL has come, so that the outcome reaches nobody.
	wasEnded bool
	// Guarded by the link's mutex: broadcast as CANCEL comes, or the connection ends.
	ends signal
	// What the caller sends behind the payload, where it does.
	arguments *itemReceiver
	// What the handler sends before its result, where the caller takes it.
	results *itemSender
}

// Text is the payload as text.
func (r *Request) Text() string { return string(r.Payload) }

// JSON decodes the payload into value. A handler that returns the error ends its call with SERIALIZATION.
func (r *Request) JSON(value any) error {
	if err := json.Unmarshal(r.Payload, value); err != nil {
		return &Failure{
			Status: Serialization, Payload: []byte("the argument of " + r.Function + " is not what it should be: " +
				err.Error()),
		}
	}
	return nil
}

// Caller is who called, where the function was registered with [CallerIdentity]; the daemon vouches for it.
func (r *Request) Caller() (caller Caller, ok bool) {
	number := func(key string, bits int) uint64 {
		value, err := strconv.ParseUint(r.Metadata["hostcall-caller-"+key], 10, bits)
		ok = ok && err == nil
		return value
	}
	ok = true
	caller = Caller{
		UserID: uint32(number("uid", 32)), GroupID: uint32(number("gid", 32)), ProcessID: int32(number("pid", 31)),
		Session: number("session", 64),
	}
	if !ok {
		return Caller{}, false
	}
	return caller, true
}

// Caller is the process at the other end of a call (protocol section 4, Registering).
type Caller struct {
	// UserID is its effective user when it connected.
	UserID uint32
	// GroupID is its effective group when it connected.
	GroupID uint32
	// ProcessID is the process that connected; the number may since have been given to another.
	ProcessID int32
	// Session is the number of its connection in this run of the daemon.
	Session uint64
}

// TakesItems says whether the caller takes result items: whether Send can be used.
func (r *Request) TakesItems() bool { return r.results != nil }

// Send sends a result item, before the result; it waits while the caller does not take more (protocol section 4,
// Streams). It returns when the item is on its way, not when it has arrived. Items arrive in order and before the result.
// Several goroutines may send.
//
// Errors: InvalidArgument where the caller takes no items, TooLarge, the context's, and the reason where the call has
// ended, after which nobody wants any more items.
func (r *Request) Send(ctx context.Context, payload []byte) error {
	return r.SendItem(ctx, Item{Payload: payload})
}

// SendItem is Send for items that have an encoding.
func (r *Request) SendItem(ctx context.Context, item Item) error {
	if r.results == nil {
		return &Error{
			Status: InvalidArgument, Function: r.Function, CorrelationID: r.CorrelationID,
			Message: "the caller takes no items: it called by Call, not by Stream (see TakesItems)",
		}
	}
	if failure := r.results.send(ctx, item); failure != nil {
		return failure.about(r.Function)
	}
	return nil
}

// Arguments are the items that the caller sends behind the payload; none of most calls. The caller may send only as many
// ahead as the client's [ItemWindow] has room for, and none before Next is called first.
func (r *Request) Arguments() *Arguments {
	return &Arguments{request: r}
}
