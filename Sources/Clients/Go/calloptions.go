package hostcall

import "hostcall/internal/wire"

// callSettings is what a call, stream or publication is made with beside name and payload.
type callSettings struct {
	encoding Encoding
	metadata Metadata
	flags    wire.Flags
	// How many result items may be on their way; 0 where the caller takes none.
	window int
}

// StreamOption says how a streamed call differs from the default.
type StreamOption interface {
	applyToCall(*callSettings)
}

// CallOption says how a call differs from the default. Every one is a [StreamOption] too.
type CallOption interface {
	StreamOption
	isCallOption()
}

// PublishOption says how a publication differs from the default.
type PublishOption interface {
	CallOption
	isPublishOption()
}

// HandleOption says how a registration differs from the default.
type HandleOption interface {
	applyToRegistration(*registrationSettings)
}

type streamOption func(*callSettings)

func (o streamOption) applyToCall(s *callSettings) { o(s) }

type callOption struct{ streamOption }

func (callOption) isCallOption() {}

type publishOption struct{ callOption }

func (publishOption) isPublishOption() {}

// WithEncoding says what the bytes of the payload are; raw by default.
func WithEncoding(encoding Encoding) PublishOption {
	return publishOption{callOption{func(s *callSettings) { s.encoding = encoding }}}
}

// WithMetadata sends these beside the payload. Given more than once, they are put together.
func WithMetadata(metadata Metadata) PublishOption {
	return publishOption{callOption{func(s *callSettings) {
		if s.metadata == nil {
			s.metadata = metadata
			return
		}
		all := Metadata{}
		for _, some := range []Metadata{s.metadata, metadata} {
			for key, value := range some {
				all[key] = value
			}
		}
		s.metadata = all
	}}}
}

// WaitForWorker has the call wait, until its deadline, where nobody has registered the name yet.
func WaitForWorker() CallOption {
	return callOption{func(s *callSettings) { s.flags |= wire.Wait }}
}

// IdempotentOption is a [CallOption] and a [HandleOption].
type IdempotentOption struct{}

// Idempotent says that a call, or every call of a registration, may be sent to another worker if the first is lost.
func Idempotent() IdempotentOption { return IdempotentOption{} }

func (IdempotentOption) applyToCall(s *callSettings) { s.flags |= wire.Idempotent }

func (IdempotentOption) isCallOption() {}

func (IdempotentOption) applyToRegistration(s *registrationSettings) { s.idempotent = true }

// Window is how many result items of the stream may be on their way; the default is the client's [ItemWindow]. With 0 the
// caller takes none, for calls that only send argument items.
func Window(items int) StreamOption {
	return streamOption(func(s *callSettings) { s.window = clamp(items, 0, largestItemWindow) })
}

// SendArguments has argument items follow the payload: see [Stream.Send] and [Stream.CloseSend].
func SendArguments() StreamOption {
	return streamOption(func(s *callSettings) { s.flags |= wire.Open })
}

// checkedCall is what a call is made with, in the form in which it goes over the wire.
type checkedCall struct {
	name     string
	encoding Encoding
	metadata []byte
	flags    wire.Flags
	window   int
}

// check refuses what no daemon would take, and encodes the rest.
func (s *callSettings) check(name string, from *inherited) (checkedCall, *Error) {
	if !wire.IsName(name) {
		return checkedCall{}, &Error{
			Status: InvalidArgument, Function: name,
			Message: "this is not a name: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots",
		}
	}
	if !wire.EncodingIsAssigned(uint8(s.encoding)) {
		return checkedCall{}, &Error{
			Status: InvalidArgument, Function: name, Message: "the encoding " + s.encoding.String() + " is reserved",
		}
	}
	metadata, err := s.metadata.encode()
	if err != nil {
		return checkedCall{}, &Error{Status: InvalidArgument, Function: name, Message: err.Error()}
	}
	return checkedCall{
		name: name, encoding: s.encoding, metadata: inheritTrace(metadata, s.metadata, from), flags: s.flags,
		window: s.window,
	}, nil
}

func (c *checkedCall) bodyBytes(payload []byte) int {
	return len(c.name) + len(c.metadata) + len(payload)
}
