package main

import (
	"context"
	"encoding/hex"

	"hostcall"
)

// subscription is one that this agent has made.
type subscription struct {
	command
	subscription *hostcall.Subscription
	// Closed when it can be looked at.
	isThere chan struct{}
	takes   queue
}

func (a *agent) subscribe(c command) {
	s := &subscription{command: c, isThere: make(chan struct{})}
	a.mutex.Lock()
	a.subscriptions[c.tag] = s
	a.mutex.Unlock()
	client := a.connected()
	go func() {
		made, err := client.Subscribe(context.Background(), c.values["name"])
		c.finish(err)
		if err != nil {
			return
		}
		s.subscription = made
		close(s.isThere)
		if !c.is("held") {
			s.takeEvents(-1)
		}
	}()
}

// takeEvents takes the next events; all that come, where count is negative.
func (s *subscription) takeEvents(count int) {
	<-s.isThere
	for ; count != 0 && s.subscription.Next(); count-- {
		event := s.subscription.Event()
		gap := ""
		if event.FollowsGap {
			gap = "yes"
		}
		s.report("event", "name", event.Name, "payload", hex.EncodeToString(event.Payload),
			"encoding", encodingText(event.Encoding), "metadata", metadataText(event.Metadata),
			"dropped", numberText(uint64(event.DroppedBefore)), "gap", gap)
	}
	if err := s.subscription.Err(); err != nil {
		s.fail(err)
	}
}

func (a *agent) unsubscribe(c command) {
	a.mutex.Lock()
	s := a.subscriptions[c.tag]
	a.mutex.Unlock()
	if s == nil {
		usage("no such subscription: " + c.line)
	}
	go func() {
		<-s.isThere
		c.finish(s.subscription.Close())
	}()
}

func (a *agent) publish(c command) {
	ctx, client := a.context(c), a.connected()
	options := []hostcall.PublishOption{hostcall.WithEncoding(c.encoding()), hostcall.WithMetadata(c.metadata())}
	if c.is("no-reply") {
		c.finish(client.PublishNoReply(ctx, c.values["name"], c.bytes("payload"), options...))
		return
	}
	subscribers, err := client.Publish(ctx, c.values["name"], c.bytes("payload"), options...)
	if err != nil {
		c.fail(err)
		return
	}
	c.report("done", "subscribers", subscribers)
}
