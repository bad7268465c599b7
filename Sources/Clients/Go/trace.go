package hostcall

import "context"

type inheritedKey struct{}

// inherited is what calls made with a handler's context take over, beside its deadline and cancellation.
type inherited struct {
	// The call that is answered; 0 outside of a handler.
	correlationID uint64
	traceParent   string
	traceState    string
}

// inheritedFrom is nil where the context is no handler's and has no trace.
func inheritedFrom(ctx context.Context) *inherited {
	from, _ := ctx.Value(inheritedKey{}).(*inherited)
	return from
}

// isInHandler says whether the context is a handler's.
func (i *inherited) isInHandler() bool { return i != nil && i.correlationID != 0 }

// WithTrace is a context whose calls carry this trace: traceparent and tracestate of W3C Trace Context, both as they go
// over the wire; an empty tracestate is left out. In a handler's context that of the answered call is there already.
// What is not UTF-8 without NUL, or longer than metadata may be, is passed over.
func WithTrace(ctx context.Context, traceParent, traceState string) context.Context {
	from := inherited{}
	if outer := inheritedFrom(ctx); outer != nil {
		from = *outer
	}
	from.traceParent, from.traceState = "", ""
	if isTraceText(traceParent) {
		from.traceParent = traceParent
		if isTraceText(traceState) {
			from.traceState = traceState
		}
	}
	return context.WithValue(ctx, inheritedKey{}, &from)
}

// TraceOf is the trace that calls made with the context carry; empty where there is none.
func TraceOf(ctx context.Context) (traceParent, traceState string) {
	if from := inheritedFrom(ctx); from != nil {
		return from.traceParent, from.traceState
	}
	return "", ""
}

func isTraceText(text string) bool {
	return checkEntry(traceParentKey, text) == nil
}
