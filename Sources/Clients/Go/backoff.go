package hostcall

import (
	"crypto/rand"
	"math/big"
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
	// math/rand has the same numbers in every process, so that those would come all at once.
	shortening, err := rand.Int(rand.Reader, big.NewInt(int64(whole)/2+1))
	if err != nil {
		return whole
	}
	return whole - time.Duration(shortening.Int64())
}

// reset starts over: the last connection was a good one.
func (b *backoff) reset() { b.next = b.first }
