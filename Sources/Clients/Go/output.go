package hostcall

import (
	"net"
	"runtime"
	"sync"
	"time"

	"hostcall/internal/wire"
)

const (
	// largestWriteBytes is what one write asks for at most, so that queuedBytes follows what the daemon reads.
	largestWriteBytes = 256 << 10
	// largestKeptBytes is the largest empty buffer that is kept for later frames.
	largestKeptBytes = 1 << 20
	// lastWordsDuration is how long a daemon that takes nothing any more is listened to.
	lastWordsDuration = time.Second
)

// output is what waits to be written to the connection: frames are appended by anybody and leave, many at a time, by one
// goroutine.
type output struct {
	mutex sync.Mutex
	// Signalled when there is something to write, or nothing more will come.
	wakes sync.Cond
	// Frames that the writer has not taken.
	waiting []byte
	// What the writer gives back when it has written it.
	spare []byte
	// Bytes that the socket has not taken, those in the writer's hands among them.
	queuedBytes int
	// No more frames are taken; those that are there still leave.
	isClosed bool
	// How many bytes were ever appended, up to the last frame that carries something of the program's, and written.
	appendedBytes, contentBytes, writtenBytes uint64
	// Such a frame was not taken.
	refusedContent bool
	// Broadcast as queuedBytes falls.
	falls signal
	// Closed by close, once.
	closes chan struct{}
	// Closed when the writer has ended.
	done chan struct{}
}

func newOutput() *output {
	o := &output{closes: make(chan struct{}), done: make(chan struct{})}
	o.wakes.L = &o.mutex
	return o
}

// append adds one frame; false where the output is closed, and takes nothing. What has a place in the link's tables is
// told of that anyway.
func (o *output) append(header wire.Header, name string, metadata, payload []byte) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.add(header, name, metadata, payload)
}

// appendWithin is append once no more than so many bytes are queued; while more are, it takes nothing and gives back a
// channel that is closed when there may be fewer.
func (o *output) appendWithin(bytes int, header wire.Header, name string, metadata, payload []byte) <-chan struct{} {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.queuedBytes > bytes && !o.isClosed {
		return o.falls.wait()
	}
	o.add(header, name, metadata, payload)
	return nil
}

// add is append with the mutex held.
func (o *output) add(header wire.Header, name string, metadata, payload []byte) bool {
	isContent := false
	switch header.Kind {
	case wire.Call, wire.Complete, wire.Item, wire.Publish:
		isContent = true
	}
	if o.isClosed {
		o.refusedContent = o.refusedContent || isContent
		return false
	}
	before := len(o.waiting)
	o.waiting = wire.AppendFrame(o.waiting, header, name, metadata, payload)
	o.queuedBytes += len(o.waiting) - before
	o.appendedBytes += uint64(len(o.waiting) - before)
	if isContent {
		o.contentBytes = o.appendedBytes
	}
	if before == 0 {
		o.wakes.Signal()
	}
	return true
}

// queued is how many bytes the socket has not taken.
func (o *output) queued() int {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.queuedBytes
}

// above is nil where no more than so many bytes are queued, or the output is closed; else it is closed when there may be
// fewer.
func (o *output) above(bytes int) <-chan struct{} {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.queuedBytes <= bytes || o.isClosed {
		return nil
	}
	return o.falls.wait()
}

// empties says whether everything that was appended has been written; where not, falls is closed when that may change.
func (o *output) empties() (isEmpty bool, falls <-chan struct{}) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.writtenBytes == o.appendedBytes {
		return true, nil
	}
	return false, o.falls.wait()
}

// hasLostContent says whether something of the program's was not written.
func (o *output) hasLostContent() bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.refusedContent || o.writtenBytes < o.contentBytes
}

// write writes until close, then what is left by then, for as long as flushDuration, and closes the connection.
func (o *output) write(connection net.Conn) {
	defer close(o.done)
	defer connection.Close()
	for {
		frames := o.take()
		if frames == nil {
			return
		}
		for rest := frames; len(rest) > 0; {
			n := len(rest)
			if n > largestWriteBytes {
				n = largestWriteBytes
			}
			if _, err := connection.Write(rest[:n]); err != nil {
				// A daemon that closes says why first, and that is what should be told: the reader, which shares the
				// connection, finds the end soon, and has it closed.
				connection.SetReadDeadline(time.Now().Add(lastWordsDuration))
				o.fail()
				<-o.closes
				return
			}
			rest = rest[n:]
			o.hasWritten(n)
		}
		o.giveBack(frames)
	}
}

// take waits for frames; nil at the end.
func (o *output) take() []byte {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	for len(o.waiting) == 0 {
		if o.isClosed {
			return nil
		}
		o.wakes.Wait()
	}
	if !o.isClosed {
		// Whoever else is about to append does so first: many frames leave in one write.
		o.mutex.Unlock()
		runtime.Gosched()
		o.mutex.Lock()
	}
	frames := o.waiting
	o.waiting, o.spare = o.spare[:0], nil
	return frames
}

func (o *output) giveBack(frames []byte) {
	if cap(frames) > largestKeptBytes {
		return
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.spare = frames
}

func (o *output) hasWritten(bytes int) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.queuedBytes -= bytes
	o.writtenBytes += uint64(bytes)
	o.falls.broadcast()
}

// fail lets go of what the socket will not take.
func (o *output) fail() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.isClosed = true
	o.waiting, o.queuedBytes = nil, 0
	o.falls.broadcast()
}

// close takes no more frames, has what is there written, for so long at most, and then the connection closed. It is called
// once.
func (o *output) close(connection net.Conn, flushDuration time.Duration) {
	connection.SetWriteDeadline(time.Now().Add(flushDuration))
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.isClosed = true
	o.wakes.Signal()
	o.falls.broadcast()
	close(o.closes)
}

// signal tells any number of waiters that something may have changed. Its owner's mutex guards it.
type signal struct{ changed chan struct{} }

// wait is a channel that the next broadcast closes.
func (s *signal) wait() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func (s *signal) broadcast() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
