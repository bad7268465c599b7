package wire

import "fmt"

// Violation is a frame that nobody may send (section 3, A protocol error). Whoever gets one says GOAWAY with status
// PROTOCOL and the reason, and closes.
type Violation struct {
	// Reason is a sentence for people that says which frame broke which rule.
	Reason string
}

// Error is the reason.
func (v *Violation) Error() string { return v.Reason }

// Violationf is a violation with a formatted reason.
func Violationf(format string, arguments ...any) *Violation {
	return &Violation{Reason: fmt.Sprintf(format, arguments...)}
}

// CheckHeader checks what the header alone shows, before a byte of body is kept.
func CheckHeader(h *Header, direction Direction) error {
	rules := &rulesOfKinds[h.Kind]
	switch {
	case rules.name == "":
		return Violationf("unknown kind %d", uint8(h.Kind))
	case rules.directions&direction == 0:
		return Violationf("%s is not for this side to send", rules.name)
	case !h.PartsFit():
		return Violationf("%s has a body of %d bytes, too small for %d bytes of name and %d of metadata",
			rules.name, h.Size, h.NameSize, h.MetadataSize)
	case h.NameSize > longestNameBytes:
		return Violationf("%s has a name of %d bytes, %d are the most", rules.name, h.NameSize, longestNameBytes)
	case h.NameSize == 0 && (rules.nameRule == nameOnly || rules.nameRule == nameOrPattern):
		return Violationf("%s has no name", rules.name)
	case h.Flags&^rules.flags != 0:
		return Violationf("%s has the flag %s, which means nothing there", rules.name, h.Flags&^rules.flags)
	case !EncodingIsAssigned(h.Encoding):
		return Violationf("%s has the reserved encoding %d", rules.name, h.Encoding)
	case h.ID == 0 && rules.needsID:
		return Violationf("%s has the id 0", rules.name)
	}
	return checkKind(h, rules.name)
}

// checkKind checks what only some kinds have to keep.
func checkKind(h *Header, name string) error {
	switch h.Kind {
	case Call:
		if (h.Function == 0) == (h.NameSize == 0) {
			if h.Function == 0 {
				return Violationf("CALL has neither name nor handle")
			}
			return Violationf("CALL has both a name and a handle")
		}
	case Hello:
		if h.ID != HelloID {
			return Violationf("HELLO does not carry the bytes HOSTCALL as its id")
		}
		if h.Function > h.Aux {
			return Violationf("HELLO says lowest version %d, above its highest, %d", h.Function, h.Aux)
		}
	case Ping, Pong:
		if h.PayloadBytes() > LongestPingBytes {
			return Violationf("%s has %d bytes of payload, %d are the most", name, h.PayloadBytes(), LongestPingBytes)
		}
	case Complete:
		if !StatusMayComplete(h.Status) {
			return Violationf("COMPLETE has the status %s, which a worker may not use", StatusName(h.Status))
		}
	}
	// What a worker may use reaches its caller, the unnamed 9 among them.
	fromWorker := (h.Kind == Result || h.Kind == Complete) && StatusMayComplete(h.Status)
	if !fromWorker && !StatusIsAssigned(h.Status) {
		return Violationf("%s has the reserved status %d", name, h.Status)
	}
	return nil
}

// CheckBody checks name and metadata of a frame whose header is in order and whose body is there.
func CheckBody(h *Header, body []byte, direction Direction) error {
	rules := &rulesOfKinds[h.Kind]
	name := body[:h.NameSize]
	metadata := body[h.NameSize : int(h.NameSize)+int(h.MetadataSize)]
	if len(name) > 0 {
		mayBePattern := rules.nameRule == nameUnused || rules.nameRule == nameOrPattern
		switch {
		case IsName(name), mayBePattern && IsPattern(name):
		case IsPattern(name):
			return Violationf("%s needs a name and has the pattern %s", rules.name, name)
		default:
			return Violationf("%s has a malformed name, %s", rules.name, printable(name))
		}
	}
	if len(metadata) > 0 {
		if reason := checkMetadata(metadata, direction); reason != "" {
			return Violationf("%s: %s", rules.name, reason)
		}
	}
	return nil
}

// printable is bytes from outside as text that harms no terminal and no log: at most 64 of them.
func printable(b []byte) string {
	const most = 64
	if len(b) > most {
		return fmt.Sprintf("%q…", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
