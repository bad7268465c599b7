package hostcall

import (
	"time"

	"hostcall/internal/wire"
)

// removeRegistration ends a registration here; mutex is held.
func (c *Client) removeRegistration(r *Registration) {
	r.isOver = true
	r.handle = 0
	for i, other := range c.registrations {
		if other == r {
			c.registrations = append(c.registrations[:i:i], c.registrations[i+1:]...)
			return
		}
	}
}

func (c *Client) forget(r *Registration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.removeRegistration(r)
}

// transmit registers once more, on a new connection; the client's mutex is held.
func (r *Registration) transmit(l *link) {
	r.isRegistering = true
	l.request(r, r.header, r.name, r.metadata, nil)
}

// linkEnded says whether the registration is to come back; the client's mutex is held.
func (r *Registration) linkEnded() bool {
	r.handle = 0
	r.isRegistering = false
	return r.isEstablished
}

// answer: RESULT of REGISTER.
func (r *Registration) answer(l *link, frame *wire.Frame) error {
	c := r.client
	if Status(frame.Status) != OK || frame.IsTooLarge {
		return r.refused(errorOfResult(frame, r.name))
	}
	c.mutex.Lock()
	if c.link != l || c.phase == closed {
		c.mutex.Unlock()
		r.fail(l.lossReason())
		return nil
	}
	r.isRegistering = false
	isOver := r.isOver
	if !isOver {
		r.isEstablished = true
		r.handle = frame.Aux
	}
	c.mutex.Unlock()
	l.mutex.Lock()
	_, isTaken := l.functions[frame.Aux]
	if frame.Aux != 0 && !isTaken && l.lost == nil {
		l.functions[frame.Aux] = r
	}
	l.mutex.Unlock()
	if frame.Aux == 0 || isTaken {
		violation := wire.Violationf("RESULT of REGISTER with the handle %d, which cannot be", frame.Aux)
		r.fail(l.ended("the daemon broke the protocol: "+violation.Reason, ProtocolViolation, FromClient, nil))
		return violation
	}
	if isOver {
		// It was unregistered before the daemon had answered.
		(&unregistering{name: r.name, handle: frame.Aux, done: make(chan *Error, 1)}).send(l)
	}
	r.tell.Do(func() { r.accepted <- nil })
	return nil
}

// refused: the daemon does not register it. Whoever waits is told; one that it had before is tried again.
func (r *Registration) refused(failure *Error) error {
	c := r.client
	c.mutex.Lock()
	r.isRegistering = false
	isTriedAgain := r.isEstablished && !r.isOver
	if isTriedAgain {
		c.registerAgainLater()
	}
	c.mutex.Unlock()
	if isTriedAgain {
		c.notices.tell(Notice{Kind: RegistrationFailed, Err: failure})
	}
	r.tell.Do(func() { r.accepted <- failure })
	return nil
}

// fail: the connection has ended.
func (r *Registration) fail(failure *Error) {
	r.tell.Do(func() { r.accepted <- failure })
}

// registerAgainLater tries once more, soon, with what the daemon has not taken back; mutex is held.
func (c *Client) registerAgainLater() {
	if c.registrationTimer != nil {
		c.registrationTimer.Stop()
	}
	c.registrationTimer = time.AfterFunc(c.registrationBackoff.delay(), func() {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		if c.phase != ready {
			return
		}
		for _, r := range c.registrations {
			if r.isEstablished && r.handle == 0 && !r.isRegistering {
				r.transmit(c.link)
			}
		}
		for _, subscription := range c.subscriptions {
			subscription.transmitAgain(c.link)
		}
	})
}

// unregistering is an UNREGISTER under way.
type unregistering struct {
	name   string
	handle uint32
	// Has room for the one answer.
	done chan *Error
}

func (u *unregistering) send(l *link) *Error {
	_, failure := l.request(u, wire.Header{Kind: wire.Unregister, Function: u.handle}, "", nil, nil)
	return failure
}

func (u *unregistering) answer(l *link, frame *wire.Frame) error {
	l.mutex.Lock()
	delete(l.functions, u.handle)
	l.mutex.Unlock()
	if Status(frame.Status) != OK {
		u.done <- errorOfResult(frame, u.name)
	} else {
		u.done <- nil
	}
	return nil
}

// What is gone with the connection need not be unregistered any more.
func (u *unregistering) fail(*Error) { u.done <- nil }
