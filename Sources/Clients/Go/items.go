package hostcall

import "hostcall/internal/wire"

// receiveItem: a result for a call of ours has come, or an argument of one that runs here.
func (l *link) receiveItem(frame *wire.Frame) error {
	if frame.ID&requestMark != 0 {
		l.mutex.Lock()
		stream, _ := l.requests[frame.ID].(*Stream)
		_, isAbandoned := l.abandoned[frame.ID]
		l.mutex.Unlock()
		if isAbandoned {
			return nil
		}
		if stream == nil {
			return wire.Violationf("ITEM without credit")
		}
		items, _ := stream.streams()
		switch {
		case items == nil:
			return wire.Violationf("ITEM without credit")
		case frame.IsTooLarge:
			stream.giveUp(l.itemTooLarge(frame).about(stream.name))
			return nil
		}
		return items.put(frame)
	}
	l.mutex.Lock()
	request := l.running[frame.ID]
	l.mutex.Unlock()
	switch {
	case request == nil:
		// The call was completed while the item was on its way.
		return nil
	case request.arguments == nil:
		return wire.Violationf("ITEM for the call %d, which has no arguments", frame.ID)
	case frame.IsTooLarge:
		request.arguments.end(l.itemTooLarge(frame))
		return nil
	}
	return request.arguments.put(frame)
}

func (l *link) itemTooLarge(frame *wire.Frame) *Error {
	return &Error{
		Status: TooLarge, Message: l.notTaken("an item", frame),
	}
}

// receiveCredit: arguments of a call of ours may be sent, or results of one that runs here. It may meet the end of its
// call on the way.
func (l *link) receiveCredit(frame *wire.Frame) {
	var sender *itemSender
	l.mutex.Lock()
	if frame.ID&requestMark == 0 {
		if request := l.running[frame.ID]; request != nil {
			sender = request.results
		}
		l.mutex.Unlock()
	} else {
		stream, _ := l.requests[frame.ID].(*Stream)
		l.mutex.Unlock()
		if stream != nil {
			_, sender = stream.streams()
		}
	}
	if sender != nil {
		sender.addCredit(frame.Aux)
	}
}
