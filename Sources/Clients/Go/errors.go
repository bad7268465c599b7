package hostcall

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"hostcall/internal/wire"
)

var (
	// ErrCannotConnect is in the chain of an Error where the daemon cannot be reached, or does not take this peer.
	// Nothing was started.
	ErrCannotConnect = errors.New("cannot reach hostcalld")
	// ErrConnectionLost is in the chain of an Error where the connection ended before the outcome came: what was under
	// way may or may not have run.
	ErrConnectionLost = errors.New("the connection to hostcalld was lost")
	// ErrClosed is in the chain of an Error where this program closed the client, or is shutting it down.
	ErrClosed = errors.New("this client is closed")
)

// Origin is who found an error.
type Origin uint8

const (
	// FromClient: this library, without an answer from anybody.
	FromClient Origin = iota
	// FromDaemon: a rule, limit or deadline of the daemon's, or its GOAWAY.
	FromDaemon
	// FromWorker: the worker chose the status and the payload.
	FromWorker
)

// String is client, daemon or worker.
func (o Origin) String() string {
	return [...]string{"client", "daemon", "worker"}[o]
}

// Error is why a call, or something else asked of a client, did not succeed. It reads well on a terminal:
//
//	token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)
//
// Compare by errors.Is: with a [Status], with [ErrCannotConnect], [ErrConnectionLost] and [ErrClosed], with
// context.DeadlineExceeded (every TIMEOUT), with context.Canceled (where the call's context was cancelled), and, where
// the operating system refused something, with its error.
type Error struct {
	// Status is that of protocol section 6; OK where there is none, as where the connection was lost.
	Status Status
	// Origin is who found it.
	Origin Origin
	// Function is the name that was called, registered, published or subscribed to; empty where it is about the
	// connection.
	Function string
	// CorrelationID is the number by which worker, logs and tools know the call; 0 where none was issued.
	CorrelationID uint64
	// Message is what happened, for people; from the payload where that is text.
	Message string
	// Payload is what came with the status; empty where nothing did.
	Payload []byte
	// Encoding is what the payload's bytes are.
	Encoding Encoding
	// Metadata is what the worker sent beside the payload.
	Metadata Metadata

	// ErrCannotConnect, ErrConnectionLost, ErrClosed, or nil where the status says it all.
	kind error
	// What brought it about: a context's error, or the operating system's.
	cause error
}

// Error is one line (more where the message has more): function, status and whose it is, message, call.
func (e *Error) Error() string {
	var parts []string
	if e.Function != "" {
		parts = append(parts, printableText(e.Function))
	}
	if e.kind == nil && e.Status != OK {
		text := e.Status.String()
		if e.Origin != FromClient {
			text += " from the " + e.Origin.String()
		}
		parts = append(parts, text)
	}
	// The daemon's sentences begin with the function, which is said once.
	message := e.Message
	if e.Function != "" {
		message = strings.TrimPrefix(message, e.Function+": ")
	}
	if message != "" {
		parts = append(parts, printableText(message))
	}
	text := strings.Join(parts, ": ")
	if e.CorrelationID != 0 {
		text += " (call " + strconv.FormatUint(e.CorrelationID, 10) + ")"
	}
	return text
}

// Is says whether target is the error's status, or the kind of error that it is.
func (e *Error) Is(target error) bool {
	if status, ok := target.(Status); ok {
		return status != OK && e.Status == status
	}
	if target == context.DeadlineExceeded && e.kind == nil && e.Status == Timeout {
		return true
	}
	return e.kind != nil && target == e.kind
}

// Unwrap is what brought the error about: the context's error, or the operating system's; nil where there is neither.
func (e *Error) Unwrap() error { return e.cause }

// about is the same error, about a function; errors may be shared by several that wait.
func (e *Error) about(function string) *Error {
	if e.Function != "" {
		return e
	}
	copied := *e
	copied.Function = function
	return &copied
}

// errorOfResult is what a RESULT with a status other than OK is to whoever asked.
func errorOfResult(frame *wire.Frame, function string) *Error {
	origin := FromDaemon
	if frame.Flags&wire.FromWorker != 0 {
		origin = FromWorker
	}
	payload := frame.TakePayload()
	return &Error{
		Status: Status(frame.Status), Origin: origin, Function: function, CorrelationID: frame.Call(),
		Message: payloadText(payload, Encoding(frame.Encoding)), Payload: payload, Encoding: Encoding(frame.Encoding),
		Metadata: decodeMetadata(frame.Metadata),
	}
}

// longestTextCharacters is how much of an error's payload is shown.
const longestTextCharacters = 1000

// payloadText is a payload as text where it is text, else how much of what it is.
func payloadText(payload []byte, encoding Encoding) string {
	if len(payload) == 0 {
		return ""
	}
	if encoding != RawEncoding && encoding != JSONEncoding || !utf8.Valid(payload) {
		return strconv.Itoa(len(payload)) + " bytes, encoding " + encoding.String()
	}
	// A character is at most 4 bytes.
	if len(payload) > 4*longestTextCharacters || utf8.RuneCount(payload) > longestTextCharacters {
		end := 0
		for i := 0; i < longestTextCharacters; i++ {
			_, size := utf8.DecodeRune(payload[end:])
			end += size
		}
		return string(payload[:end]) + "…"
	}
	return string(payload)
}

// printableText is text from another process as it may go to a terminal: without control characters but line feeds and
// tabs.
func printableText(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= 0x20 && (r < 0x7f || r > 0x9f) {
			return r
		}
		return '?'
	}, text)
}
