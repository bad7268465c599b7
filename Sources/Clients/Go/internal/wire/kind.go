package wire

import (
	"fmt"
	"strings"
)

// Kind is what a frame is (section 4).
type Kind uint8

// The kinds of version 1.
const (
	Hello       Kind = 1
	Welcome     Kind = 2
	Goaway      Kind = 3
	Ping        Kind = 4
	Pong        Kind = 5
	Register    Kind = 8
	Unregister  Kind = 9
	Bind        Kind = 10
	Call        Kind = 16
	Result      Kind = 17
	Invoke      Kind = 18
	Complete    Kind = 19
	Cancel      Kind = 20
	Rejected    Kind = 21
	Item        Kind = 22
	Credit      Kind = 23
	Subscribe   Kind = 32
	Unsubscribe Kind = 33
	Publish     Kind = 34
	Event       Kind = 35
)

// Direction is which side sends a frame.
type Direction uint8

const (
	// ToDaemon is from a peer to the daemon.
	ToDaemon Direction = 1 << iota
	// ToPeer is from the daemon to a peer.
	ToPeer
)

// nameRule is what the name at the start of the body has to be.
type nameRule uint8

const (
	// The kind has no name; one that comes anyway is passed over, but malformed it is refused.
	nameUnused nameRule = iota
	nameOnly
	nameOrPattern
	// A name, or nothing: CALL by handle, INVOKE of an exact registration.
	nameOptional
)

// kindRules is what section 4 and 5 say of one kind.
type kindRules struct {
	name       string
	directions Direction
	flags      Flags
	needsID    bool
	nameRule   nameRule
}

var rulesOfKinds = [256]kindRules{
	Hello:       {"HELLO", ToDaemon, 0, false, nameUnused},
	Welcome:     {"WELCOME", ToPeer, 0, true, nameUnused},
	Goaway:      {"GOAWAY", ToDaemon | ToPeer, 0, false, nameUnused},
	Ping:        {"PING", ToDaemon | ToPeer, 0, false, nameUnused},
	Pong:        {"PONG", ToDaemon | ToPeer, 0, false, nameUnused},
	Register:    {"REGISTER", ToDaemon, 0, true, nameOrPattern},
	Unregister:  {"UNREGISTER", ToDaemon, 0, true, nameUnused},
	Bind:        {"BIND", ToDaemon, 0, true, nameOnly},
	Call:        {"CALL", ToDaemon, Open | NoReply | Idempotent | Descriptors | Wait, true, nameOptional},
	Result:      {"RESULT", ToPeer, Descriptors | FromWorker, true, nameUnused},
	Invoke:      {"INVOKE", ToPeer, Open | Idempotent | Descriptors, true, nameOptional},
	Complete:    {"COMPLETE", ToDaemon, Descriptors, true, nameUnused},
	Cancel:      {"CANCEL", ToDaemon | ToPeer, 0, true, nameUnused},
	Rejected:    {"REJECTED", ToPeer, 0, true, nameUnused},
	Item:        {"ITEM", ToDaemon | ToPeer, Last, true, nameUnused},
	Credit:      {"CREDIT", ToDaemon | ToPeer, 0, true, nameUnused},
	Subscribe:   {"SUBSCRIBE", ToDaemon, 0, true, nameOrPattern},
	Unsubscribe: {"UNSUBSCRIBE", ToDaemon, 0, true, nameOrPattern},
	Publish:     {"PUBLISH", ToDaemon, 0, false, nameOnly},
	Event:       {"EVENT", ToPeer, 0, true, nameOnly},
}

// String is the protocol's name of the kind, such as CALL.
func (k Kind) String() string {
	if name := rulesOfKinds[k].name; name != "" {
		return name
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Flags are a frame's flags (section 5).
type Flags uint8

// The flags of version 1.
const (
	// Open: argument items follow.
	Open Flags = 0x01
	// Last: the last argument.
	Last Flags = 0x02
	// NoReply: there is no RESULT, whatever happens.
	NoReply Flags = 0x04
	// Idempotent: may be sent again.
	Idempotent Flags = 0x08
	// Descriptors: file descriptors come with the frame; this library never names that feature.
	Descriptors Flags = 0x10
	// Wait: for a worker to come.
	Wait Flags = 0x20
	// FromWorker: the worker chose the status.
	FromWorker Flags = 0x40
)

// String names the flags, such as OPEN+WAIT.
func (f Flags) String() string {
	var names []string
	for bit, name := range [...]string{
		"OPEN", "LAST", "NO_REPLY", "IDEMPOTENT", "DESCRIPTORS", "WAIT", "FROM_WORKER", "0x80",
	} {
		if f&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}
