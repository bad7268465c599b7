package hostcall

import (
	"errors"
	"math"
	"net"
	"strconv"
	"strings"

	"hostcall/internal/wire"
)

// greet says HELLO and waits for WELCOME.
func (c *Client) greet(connection net.Conn) (*link, error) {
	heard := &heardConnection{Conn: connection}
	metadata := wire.AppendEntry(nil, "client", cleanClientName(c.clientName))
	metadata = wire.AppendEntry(metadata, "features", "streams,events")
	hello := wire.Header{Kind: wire.Hello, ID: wire.HelloID, Function: wire.Version, Aux: wire.Version}
	_, writeError := connection.Write(wire.AppendFrame(nil, hello, "", metadata, nil))
	reader := wire.NewReader(heard, wire.ToPeer, c.largestFrameBytes)
	// A daemon that refuses a connection says why before it closes it.
	frame, err := reader.Next()
	if err != nil {
		if writeError != nil {
			err = writeError
		}
		return nil, c.sayViolation(connection, err)
	}
	server, err := welcomeOf(frame)
	if err != nil {
		return nil, c.sayViolation(connection, err)
	}
	return newLink(c, heard, reader, server), nil
}

// sayViolation tells a daemon that has broken the protocol so, and gives back the error.
func (c *Client) sayViolation(connection net.Conn, err error) error {
	var violation *wire.Violation
	if errors.As(err, &violation) {
		connection.Write(goaway(wire.StatusProtocol, violation.Reason))
	}
	return err
}

// refusedError is a daemon that answers HELLO with a refusal.
type refusedError struct {
	status Status
	reason string
}

func (e *refusedError) Error() string { return e.reason }

// welcomeOf is what the first frame says, where it is a WELCOME that can be.
func welcomeOf(frame *wire.Frame) (Server, error) {
	text := payloadText(frame.Payload, RawEncoding)
	switch {
	case frame.Kind == wire.Goaway:
		status := Status(frame.Status)
		return Server{}, &refusedError{status, joinNonEmpty(status.String(), text)}
	case frame.Kind != wire.Welcome:
		return Server{}, wire.Violationf("%s before WELCOME", frame.Kind)
	case frame.IsTooLarge:
		return Server{}, wire.Violationf("WELCOME of %d bytes", frame.Size)
	case frame.Status == wire.StatusVersion:
		return Server{}, &refusedError{
			VersionMismatch,
			"it speaks the protocol versions " + text + ", and this client " + strconv.Itoa(int(wire.Version)),
		}
	case frame.Status != wire.StatusOK:
		status := Status(frame.Status)
		return Server{}, &refusedError{status, joinNonEmpty(status.String(), text)}
	case frame.Function != wire.Version:
		return Server{}, wire.Violationf("WELCOME chooses version %d, which was not offered", frame.Function)
	}
	metadata := decodeMetadata(frame.Metadata)
	largest, err := strconv.ParseInt(metadata["max-frame"], 10, 64)
	if err != nil || largest < 0 || largest > math.MaxUint32 {
		return Server{}, wire.Violationf("WELCOME without a max-frame")
	}
	isSeparator := func(r rune) bool { return r == ',' || r == ' ' }
	return Server{
		Program: metadata["server"], Instance: metadata["instance"], Session: frame.ID,
		LargestFrameBytes: int(atMost(largest, math.MaxInt)), CallsInFlight: int(frame.Aux),
		Features: strings.FieldsFunc(metadata["features"], isSeparator),
	}, nil
}

// atMost keeps a number within what the machine's int can be.
func atMost(value, most int64) int64 {
	if value > most {
		return most
	}
	return value
}

func joinNonEmpty(status, text string) string {
	if text == "" {
		return status
	}
	return status + ": " + text
}

// cleanClientName is a name as it may stand in metadata.
func cleanClientName(name string) string {
	name = strings.ToValidUTF8(strings.ReplaceAll(name, "\x00", ""), "?")
	const longest = 1024
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "")
	}
	return name
}
