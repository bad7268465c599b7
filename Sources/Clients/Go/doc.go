// Package hostcall calls functions that live in other processes, by name, through the daemon hostcalld, and serves
// functions of its own.
//
// A client is a connection to the daemon that comes back by itself. It may call, serve, stream, publish and subscribe,
// all at once, from any number of goroutines:
//
//	client, err := hostcall.Connect(ctx)
//	reply, err := client.Call(ctx, "token.fetch", []byte("alice"))
//
// # Deadlines, cancellation, traces
//
// The deadline of a call's context goes to the daemon, which ends the call when it passes; cancelling the context
// cancels the call, also in the worker. A handler's context carries the deadline of the call that it answers and is
// cancelled when that call ends otherwise; calls made with it inherit the deadline and the trace (traceparent and
// tracestate).
//
// # Errors
//
// Whatever goes wrong is an *Error. A [Status] is an error to compare with:
//
//	errors.Is(err, hostcall.NotFound)         // nobody has registered that name
//	errors.Is(err, context.DeadlineExceeded)  // also where the daemon or the worker said TIMEOUT
//	errors.Is(err, context.Canceled)          // the context of the call was cancelled
//	errors.Is(err, hostcall.ErrConnectionLost)
//
// # Lost connections
//
// Calls under way fail with [ErrConnectionLost] at once: they may or may not have run. A client that serves or subscribes
// connects again in the background, after 10 ms at first and 5 s at most, and registers and subscribes again; any other
// connects again with its next call.
//
// # Limits
//
// Everything that waits is bounded: see [ConnectOption]. Where comments name sections, they are those of the protocol, which
// the manual page hostcall-protocol(7) has.
package hostcall
