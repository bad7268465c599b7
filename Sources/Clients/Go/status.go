package hostcall

import (
	"strconv"

	"hostcall/internal/wire"
)

// Status is how a call or a request ended (protocol section 6). It is an error, to compare others with:
//
//	if errors.Is(err, hostcall.NotFound) { … }
//
// Values from 128 to 255 are the application's own: hostcall.Status(200).
type Status uint8

// The statuses of the protocol.
const (
	// OK is success; no error has it.
	OK Status = 0
	// NullPointer: a required pointer was null (C interface, workers).
	NullPointer Status = 1
	// BufferTooSmall: a buffer was too small for what came (C interface, workers).
	BufferTooSmall Status = 2
	// InvalidUTF8: text was not UTF-8.
	InvalidUTF8 Status = 3
	// Serialization: the payload could not be encoded or decoded.
	Serialization Status = 4
	// Panic: the host function crashed and was caught at the boundary.
	Panic Status = 5
	// Timeout: the deadline passed first.
	Timeout Status = 6
	// NotFound: nobody has registered that name.
	NotFound Status = 7
	// LockPoisoned is kept for the C interface; the daemon never sends it.
	LockPoisoned Status = 8
	// Failed: the host function answered with an error; the payload is that error.
	Failed Status = 10
	// Cancelled: the call was cancelled.
	Cancelled Status = 11
	// WorkerLost: the worker went away while it may have been running the call.
	WorkerLost Status = 12
	// Unavailable: the name is known, but no worker for it can be had now.
	Unavailable Status = 13
	// Overloaded: a limit is reached; nothing was started, trying later is safe.
	Overloaded Status = 14
	// Denied: policy refuses it.
	Denied Status = 15
	// TooLarge: a frame was larger than may be.
	TooLarge Status = 16
	// ProtocolViolation: the peer broke the protocol.
	ProtocolViolation Status = 17
	// VersionMismatch: no protocol version in common.
	VersionMismatch Status = 18
	// ShuttingDown: the daemon is leaving.
	ShuttingDown Status = 19
	// AlreadyRegistered: somebody has that name already.
	AlreadyRegistered Status = 20
	// InvalidArgument: a name, handle, option or value that cannot be.
	InvalidArgument Status = 21
	// UnknownCall: a completion for a call that was never sent to this worker.
	UnknownCall Status = 22
	// Late: a completion for a call that had ended.
	Late Status = 23
	// Duplicate: a second completion of the same call by the same worker.
	Duplicate Status = 24
	// CallerLost: the caller's connection ended.
	CallerLost Status = 25
	// Unknown: an error without a better name.
	Unknown Status = 99
)

// String is the name of protocol section 6, such as NOT_FOUND, or STATUS_ and the number where there is none.
func (s Status) String() string { return wire.StatusName(uint8(s)) }

// Error is the same as String.
func (s Status) Error() string { return s.String() }

// IsApplicationDefined says whether the application, not the protocol, gives the status its meaning.
func (s Status) IsApplicationDefined() bool { return s >= 128 }

// Encoding is what the bytes of a payload are (protocol section 2). The daemon passes it on and never looks inside.
// Values from 128 to 255 are the application's own; 3 to 127 are reserved.
type Encoding uint8

const (
	// RawEncoding is bytes without a meaning to anybody but caller and worker.
	RawEncoding Encoding = 0
	// JSONEncoding is JSON, in UTF-8.
	JSONEncoding Encoding = 1
	// CBOREncoding is CBOR, RFC 8949.
	CBOREncoding Encoding = 2
)

// String is raw, json, cbor, or the number.
func (e Encoding) String() string {
	switch e {
	case RawEncoding:
		return "raw"
	case JSONEncoding:
		return "json"
	case CBOREncoding:
		return "cbor"
	}
	return strconv.Itoa(int(e))
}
