package hostcall

// Arguments hands out the argument items of a call, to one goroutine:
//
//	arguments := request.Arguments()
//	for arguments.Next() { sum(arguments.Item()) }
//	if err := arguments.Err(); err != nil { return nil, err }
type Arguments struct {
	request *Request
	item    Item
	failure *Error
}

// Next waits for the next item; false at the end, of which Err tells whether it came too early.
func (a *Arguments) Next() bool {
	receiver := a.request.arguments
	if receiver == nil || a.failure != nil {
		return false
	}
	item, isItem, failure := receiver.next(a.request.ctx)
	a.item = item
	if failure != nil {
		a.failure = failure.about(a.request.Function)
	}
	return isItem
}

// Item is what Next has come to.
func (a *Arguments) Item() Item { return a.item }

// Err is nil where all arguments have come, otherwise why not.
func (a *Arguments) Err() error {
	if a.failure == nil {
		return nil
	}
	return a.failure
}
