package hostcall

import (
	"context"
	"strings"

	"hostcall/internal/wire"
)

// Publish publishes an event and gives back how many subscribers there were (protocol section 4, Events). It reaches those
// who have subscribed by now, in the order in which this client publishes; one that is too slow may lose it.
//
// Errors: InvalidArgument, Denied, TooLarge, Overloaded, Unavailable where the daemon has no events,
// [ErrCannotConnect], [ErrConnectionLost], [ErrClosed], the context's.
func (c *Client) Publish(
	ctx context.Context, name string, payload []byte, options ...PublishOption,
) (subscribers int, err error) {
	p := &publication{name: name, done: make(chan publicationOutcome, 1)}
	link, id, failure := c.sendPublication(ctx, name, payload, options, p)
	if failure != nil {
		return 0, failure
	}
	select {
	case o := <-p.done:
		if o.failure != nil {
			return 0, o.failure
		}
		return o.subscribers, nil
	case <-ctx.Done():
		link.abandon(id)
		return 0, contextError(ctx, name, "the daemon has not confirmed the event yet")
	}
}

// PublishNoReply publishes an event and wants no answer. It returns when the event is on its way to the daemon, which may
// refuse it without a word. Errors: those where it could not be sent.
func (c *Client) PublishNoReply(ctx context.Context, name string, payload []byte, options ...PublishOption) error {
	if _, _, failure := c.sendPublication(ctx, name, payload, options, nil); failure != nil {
		return failure
	}
	return nil
}

// sendPublication writes PUBLISH, whose RESULT p will be told of; there is none where p is nil.
func (c *Client) sendPublication(
	ctx context.Context, name string, payload []byte, options []PublishOption, p *publication,
) (*link, uint64, *Error) {
	if strings.HasPrefix(name, wire.ReservedNamePrefix) {
		return nil, 0, &Error{
			Status: InvalidArgument, Function: name,
			Message: "names below " + wire.ReservedNamePrefix + " are the daemon's own, and nobody else publishes them",
		}
	}
	s := callSettings{}
	for _, option := range options {
		option.applyToCall(&s)
	}
	checked, failure := s.check(name, nil)
	if failure != nil {
		return nil, 0, failure
	}
	if ctx.Err() != nil {
		return nil, 0, contextError(ctx, name, "the context had ended before the event was sent")
	}
	link, failure := c.acquire(ctx, name)
	if failure != nil {
		return nil, 0, failure
	}
	if failure := link.lack("events", name); failure != nil {
		return nil, 0, failure
	}
	if failure := link.refusal("the event", name, checked.bodyBytes(payload)); failure != nil {
		return nil, 0, failure
	}
	header := wire.Header{Kind: wire.Publish, Encoding: uint8(checked.encoding)}
	if p == nil {
		if !link.output.append(header, name, checked.metadata, payload) {
			return nil, 0, link.lossReason().about(name)
		}
		return link, 0, nil
	}
	id, failure := link.request(p, header, name, checked.metadata, payload)
	if failure != nil {
		return nil, 0, failure.about(name)
	}
	return link, id, nil
}

// publication is a PUBLISH that waits for its RESULT.
type publication struct {
	name string
	// Has room for the one answer.
	done chan publicationOutcome
}

type publicationOutcome struct {
	subscribers int
	failure     *Error
}

func (p *publication) answer(_ *link, frame *wire.Frame) error {
	if Status(frame.Status) != OK {
		p.done <- publicationOutcome{0, errorOfResult(frame, p.name)}
	} else {
		p.done <- publicationOutcome{int(frame.Aux), nil}
	}
	return nil
}

func (p *publication) fail(failure *Error) { p.done <- publicationOutcome{0, failure.about(p.name)} }
