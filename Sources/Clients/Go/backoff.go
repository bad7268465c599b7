package hostcall

import (
	"math/rand"
	"time"
)

// backoff is the waits between attempts that follow each other: each twice as long as the one before, and shortened at
// random by up to a half, so that many clients of a daemon that comes back do not come all at once.
type backoff struct {
	first, longest, next time.Duration
}

func newBackoff(first, longest time.Duration) backoff {
	return backoff{first: first, longest: longest, next: first}
}

// delay is the next wait.
func (b *backoff) delay() time.Duration {
	whole := b.next
	if b.next *= 2; b.next > b.longest {
		b.next = b.longest
	}
	return whole - time.Duration(rand.Int63n(int64(whole)/2+1))
}

// reset starts over: the last connection was a good one.
func (b *backoff) reset() { b.next = b.first }
