package hostcall

import (
	"math"
	"os"
	"path/filepath"
	"time"
)

// settings is what a client needs to know; every part has a default.
type settings struct {
	socketPath         string
	clientName         string
	reconnects         bool
	firstDelay         time.Duration
	longestDelay       time.Duration
	connectTimeout     time.Duration
	livenessLimit      time.Duration
	cancelGrace        time.Duration
	largestFrameBytes  uint32
	largestQueueBytes  int
	itemWindow         int
	itemQueueBytes     int
	waitingEvents      int
	waitingEventBytes  int
	notify             func(Notice)
	closeFlushDuration time.Duration
}

func defaultSettings() settings {
	return settings{
		clientName:         filepath.Base(os.Args[0]),
		reconnects:         true,
		firstDelay:         10 * time.Millisecond,
		longestDelay:       5 * time.Second,
		connectTimeout:     5 * time.Second,
		livenessLimit:      30 * time.Second,
		cancelGrace:        time.Second,
		largestFrameBytes:  256 << 20,
		largestQueueBytes:  256 << 20,
		itemWindow:         32,
		itemQueueBytes:     1 << 20,
		waitingEvents:      1024,
		waitingEventBytes:  8 << 20,
		closeFlushDuration: 100 * time.Millisecond,
	}
}

// ConnectOption says how a client differs from the default. A number that cannot be is replaced by the nearest that can.
type ConnectOption func(*settings)

// SocketPath is the daemon's socket; the default is [DefaultSocketPath].
func SocketPath(path string) ConnectOption {
	return func(s *settings) { s.socketPath = path }
}

// ClientName is who this is, for `hostcall peers` and the daemon's log: name or name/version. The default is the name of
// the program's file.
func ClientName(name string) ConnectOption {
	return func(s *settings) { s.clientName = name }
}

// ReconnectDelays is how long a client waits that serves or subscribes and has lost its connection: first at the first
// time (default 10 ms), then twice as long each time up to longest (5 s); each wait is shortened at random by up to a
// half.
func ReconnectDelays(first, longest time.Duration) ConnectOption {
	return func(s *settings) {
		s.reconnects = true
		s.firstDelay = atLeast(first, time.Millisecond)
		s.longestDelay = atLeast(longest, s.firstDelay)
	}
}

// NoReconnect has the client closed when its connection is lost.
func NoReconnect() ConnectOption {
	return func(s *settings) { s.reconnects = false }
}

// ConnectTimeout is how long the daemon may take to accept a connection and answer HELLO: 5 s by default.
func ConnectTimeout(limit time.Duration) ConnectOption {
	return func(s *settings) { s.connectTimeout = atLeast(limit, time.Millisecond) }
}

// LivenessLimit is how long the daemon may be silent, even when asked, while something depends on it; then the connection
// counts as lost: 30 s by default, 0 for ever. It is asked after a third of that.
func LivenessLimit(limit time.Duration) ConnectOption {
	return func(s *settings) { s.livenessLimit = limit }
}

// CancelGrace is how long a call whose context has ended waits for the daemon's word on how it has ended, which a daemon
// that works sends at once: 1 s by default.
func CancelGrace(grace time.Duration) ConnectOption {
	return func(s *settings) { s.cancelGrace = atLeast(grace, 0) }
}

// LargestFrame is the bytes of the largest body taken from the daemon: 256 MiB by default. What is larger ends its call
// with TooLarge. From 1 KiB to 2 GiB.
func LargestFrame(bytes int) ConnectOption {
	return func(s *settings) {
		s.largestFrameBytes = uint32(clamp(bytes, 1024, math.MaxInt32))
	}
}

// LargestQueue is how many bytes may wait for a daemon that does not read: 256 MiB by default. A call beyond it ends with
// Overloaded at once.
func LargestQueue(bytes int) ConnectOption {
	return func(s *settings) { s.largestQueueBytes = clamp(bytes, 1024, math.MaxInt) }
}

// ItemWindow is how many items of one stream may be on their way to their reader in this program, where [Window] does
// not say, and arguments of each call that it answers: 32 by default, 1 to 1,048,576. Each stream may take that many
// items' bytes of memory.
func ItemWindow(items int) ConnectOption {
	return func(s *settings) { s.itemWindow = clamp(items, 1, largestItemWindow) }
}

// ItemQueue is how many bytes may wait for a daemon that does not read before senders of items wait: 1 MiB by default.
func ItemQueue(bytes int) ConnectOption {
	return func(s *settings) { s.itemQueueBytes = clamp(bytes, 1024, math.MaxInt) }
}

// EventBuffer is how many events, and how many bytes of them beside the newest, may wait for one [Subscription]: 1,024
// and 8 MiB by default. Past that the oldest are dropped, and counted.
func EventBuffer(events, bytes int) ConnectOption {
	return func(s *settings) {
		s.waitingEvents = clamp(events, 1, math.MaxInt)
		s.waitingEventBytes = clamp(bytes, 0, math.MaxInt)
	}
}

// OnNotice has a function told what happens to the client that nobody waits for, such as a lost connection: see
// [Notice]. It is called on a goroutine of its own, one notice at a time; up to 256 wait for it, more are lost.
func OnNotice(tell func(Notice)) ConnectOption {
	return func(s *settings) { s.notify = tell }
}

const largestItemWindow = 1 << 20

func clamp(value, least, most int) int {
	if value < least {
		return least
	}
	if value > most {
		return most
	}
	return value
}

func atLeast(value, least time.Duration) time.Duration {
	if value < least {
		return least
	}
	return value
}
