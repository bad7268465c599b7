package hostcall

import (
	"errors"
	"time"

	"hostcall/internal/wire"
)

// pingPurpose is who wants to know of a PONG.
type pingPurpose uint8

const (
	// Somebody waits for it.
	userPing pingPurpose = iota
	// The daemon has been silent.
	livenessPing
	// The daemon has seen our GOAWAY, and everything that it sent before has come.
	goawayPing
)

type pendingPing struct {
	purpose pingPurpose
	// Has room for the one answer: nil, or why none will come.
	answer chan *Error
}

// ping sends PING.
func (l *link) ping(purpose pingPurpose) (answer chan *Error, id uint64) {
	answer = make(chan *Error, 1)
	id = l.nextID()
	l.mutex.Lock()
	if l.lost != nil {
		answer <- l.lost
	} else {
		l.pings[id] = pendingPing{purpose, answer}
	}
	l.mutex.Unlock()
	l.output.append(wire.Header{Kind: wire.Ping, ID: id}, "", nil, nil)
	return answer, id
}

// forgetPing is for whoever does not wait any more.
func (l *link) forgetPing(id uint64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.pings, id)
}

func (l *link) receivePong(frame *wire.Frame) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	ping, ok := l.pings[frame.ID]
	if !ok {
		return
	}
	delete(l.pings, frame.ID)
	ping.answer <- nil
	if ping.purpose == goawayPing {
		l.goawayWasSeen = true
		l.changes.broadcast()
	}
}

// errUnread is a daemon that asks and asks and never reads, which is given up before its answers fill the memory.
var errUnread = errors.New("the daemon sends what has to be answered, and does not read the answers")

// isUnread says whether more waits for the daemon than what this program sends may be: beside the queue's limit one frame,
// which may be larger than that.
func (l *link) isUnread() bool {
	return l.output.queued()-l.server.LargestFrameBytes > l.client.largestQueueBytes
}

// receivePing answers at once, whatever handlers do.
func (l *link) receivePing(frame *wire.Frame) error {
	if l.isUnread() {
		return errUnread
	}
	l.output.append(wire.Header{Kind: wire.Pong, ID: frame.ID}, "", nil, frame.Payload)
	return nil
}

// scheduleLivenessCheck has the daemon looked after by thirds of the limit: one to see that it is silent, one to ask, one
// to give up.
func (l *link) scheduleLivenessCheck() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	interval := l.client.livenessLimit / 3
	if interval <= 0 {
		interval = time.Duration(1<<63 - 1)
	}
	l.livenessTimer = time.AfterFunc(interval, l.checkLiveness)
}

// checkLiveness pings a daemon that was silent while something depends on it, and gives up one that did not answer.
func (l *link) checkLiveness() {
	wasHeard := l.connection.wasHeard.Swap(false)
	l.client.mutex.Lock()
	isServing := len(l.client.registrations) > 0 || len(l.client.subscriptions) > 0
	l.client.mutex.Unlock()
	l.mutex.Lock()
	isOver := l.lost != nil
	awaitsAnswer := false
	for _, ping := range l.pings {
		awaitsAnswer = awaitsAnswer || ping.purpose == livenessPing
	}
	matters := isServing || len(l.requests)+len(l.abandoned) > 0 || len(l.running) > 0 || len(l.pings) > 0
	if !isOver {
		l.livenessTimer.Reset(l.client.livenessLimit / 3)
	}
	l.mutex.Unlock()
	switch {
	case isOver || wasHeard:
	case awaitsAnswer:
		l.lose(l.ended(
			"the daemon has answered nothing for "+l.client.livenessLimit.String(), OK, FromClient, nil))
	case matters:
		l.ping(livenessPing)
	}
}
