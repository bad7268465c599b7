package hostcall

import (
	"strconv"
	"time"
)

// NoticeKind is what a notice is about.
type NoticeKind uint8

const (
	// Connected: a connection was made, the first one or another.
	Connected NoticeKind = iota + 1
	// Disconnected: the connection was lost; RetryAfter is 0 where the next call connects again.
	Disconnected
	// ReconnectFailed: another attempt has failed.
	ReconnectFailed
	// RegistrationFailed: after a reconnect the daemon has not taken a function back; it is tried again.
	RegistrationFailed
	// SubscriptionFailed: after a reconnect the daemon has not taken a subscription back; it is tried again.
	SubscriptionFailed
	// CompletionRejected: the outcome of a handler came too late, or was too large (protocol section 4, REJECTED).
	CompletionRejected
	// HandlerPanicked: a handler has panicked, and its caller got PANIC; Err has the stack.
	HandlerPanicked
)

// String is a word or two.
func (k NoticeKind) String() string {
	names := [...]string{
		"", "connected", "disconnected", "reconnect failed", "registration failed", "subscription failed",
		"completion rejected", "handler panicked",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return strconv.Itoa(int(k))
}

// Notice is something that happened to a client and that nobody waits for; see [OnNotice].
type Notice struct {
	Kind NoticeKind
	// Err is what went wrong; nil for Connected.
	Err error
	// CorrelationID is the call that it is about; 0 where it is about none.
	CorrelationID uint64
	// RetryAfter is when the next attempt to connect follows.
	RetryAfter time.Duration
}

// String is one line for a log.
func (n Notice) String() string {
	text := n.Kind.String()
	if n.Err != nil {
		text += ": " + n.Err.Error()
	}
	if n.RetryAfter > 0 {
		text += "; next attempt in " + n.RetryAfter.Round(time.Millisecond).String()
	}
	return text
}

// waitingNotices is how many notices wait for the program's function; more are lost.
const waitingNotices = 256

// notices brings notices to the program's function, on a goroutine of its own. A nil one has nobody to tell.
type notices struct {
	waiting chan Notice
	over    chan struct{}
}

func startNotices(tell func(Notice)) *notices {
	if tell == nil {
		return nil
	}
	n := &notices{waiting: make(chan Notice, waitingNotices), over: make(chan struct{})}
	go func() {
		for {
			select {
			case notice := <-n.waiting:
				tell(notice)
			case <-n.over:
				// What came before the end is told.
				for len(n.waiting) > 0 {
					tell(<-n.waiting)
				}
				return
			}
		}
	}()
	return n
}

// tell passes a notice on, if there is one and somebody to tell; it never waits.
func (n *notices) tell(notice Notice) {
	if n == nil || notice.Kind == 0 {
		return
	}
	select {
	case n.waiting <- notice:
	default:
	}
}

func (n *notices) end() {
	if n != nil {
		close(n.over)
	}
}
