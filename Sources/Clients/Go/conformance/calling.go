package main

import (
	"context"
	"encoding/hex"
	"sort"
	"strconv"
	"sync"
	"time"

	"hostcall"
)

// call is a call that this agent makes.
type call struct {
	command
	cancel context.CancelFunc
	// The stream, where it is one; it can be looked at when streamIsThere is closed.
	stream        *hostcall.Stream
	streamIsThere chan struct{}
	// What is taken and sent, in the order of the commands.
	takes, sends queue
	// An item that was taken to see whether the outcome is next.
	ahead *hostcall.Item
	// The outcome has been reported.
	isOver bool
}

// queue runs functions one after another, off the goroutine that adds them.
type queue struct {
	mutex   sync.Mutex
	waiting []func()
	runs    bool
}

func (q *queue) add(run func()) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.waiting = append(q.waiting, run)
	if q.runs {
		return
	}
	q.runs = true
	go func() {
		for {
			q.mutex.Lock()
			if len(q.waiting) == 0 {
				q.runs = false
				q.mutex.Unlock()
				return
			}
			next := q.waiting[0]
			q.waiting = q.waiting[1:]
			q.mutex.Unlock()
			next()
		}
	}()
}

func (a *agent) call(c command) {
	ctx, cancel := context.WithCancel(a.context(c))
	if c.has("timeout") {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.number("timeout"))*time.Millisecond)
	}
	options := []hostcall.CallOption{hostcall.WithEncoding(c.encoding()), hostcall.WithMetadata(c.metadata())}
	if c.is("wait") {
		options = append(options, hostcall.WaitForWorker())
	}
	if c.is("idempotent") {
		options = append(options, hostcall.Idempotent())
	}
	made := &call{command: c, cancel: cancel, streamIsThere: make(chan struct{})}
	a.mutex.Lock()
	a.calls[c.tag] = made
	a.mutex.Unlock()
	client := a.connected()
	go func() {
		defer cancel()
		name, payload := c.values["name"], c.bytes("payload")
		switch {
		case c.is("no-reply"):
			c.finish(client.CallNoReply(ctx, name, payload, options...))
		case c.has("window"), c.is("arguments"):
			made.runStream(ctx, client, name, payload, options)
		default:
			made.reportOutcome(client.Call(ctx, name, payload, options...))
		}
	}()
}

func (c *call) runStream(
	ctx context.Context, client *hostcall.Client, name string, payload []byte, common []hostcall.CallOption,
) {
	options := []hostcall.StreamOption{hostcall.Window(c.number("window"))}
	for _, option := range common {
		options = append(options, option)
	}
	if c.is("arguments") {
		options = append(options, hostcall.SendArguments())
	}
	stream, err := client.Stream(ctx, name, payload, options...)
	if err != nil {
		c.fail(err)
		return
	}
	c.stream = stream
	close(c.streamIsThere)
	<-stream.Done()
	c.takes.add(c.reportOutcomeIfNext)
}

// reportOutcomeIfNext reports the outcome, which is there, once every item before it was taken.
func (c *call) reportOutcomeIfNext() {
	if c.ahead != nil || c.isOver {
		return
	}
	if c.stream.Next() {
		item := c.stream.Item()
		c.ahead = &item
		return
	}
	c.isOver = true
	if err := c.stream.Err(); err != nil {
		c.fail(err)
		return
	}
	c.reportOutcome(c.stream.Reply())
}

func (c *call) reportOutcome(reply *hostcall.Reply, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.report("result", "payload", hex.EncodeToString(reply.Payload), "encoding", encodingText(reply.Encoding),
		"metadata", metadataText(reply.Metadata), "correlation", numberText(reply.CorrelationID))
}

// takeItems takes the next items of the stream.
func (c *call) takeItems(count int) {
	<-c.streamIsThere
	for ; count > 0; count-- {
		if c.ahead != nil {
			reportItem(c.tag, *c.ahead)
			c.ahead = nil
		} else if c.stream.Next() {
			reportItem(c.tag, c.stream.Item())
		} else {
			c.reportOutcomeIfNext()
			return
		}
	}
	select {
	case <-c.stream.Done():
		c.reportOutcomeIfNext()
	default:
	}
}

func reportItem(tag string, item hostcall.Item) {
	report(tag, "item", "payload", hex.EncodeToString(item.Payload), "encoding", encodingText(item.Encoding))
}

func (a *agent) take(c command) {
	a.mutex.Lock()
	call, invocation, subscription := a.calls[c.tag], a.invocations[c.tag], a.subscriptions[c.tag]
	a.mutex.Unlock()
	count := c.number("count")
	switch {
	case call != nil:
		call.takes.add(func() { call.takeItems(count) })
	case invocation != nil:
		invocation.takes.add(func() { invocation.takeArguments(count) })
	case subscription != nil:
		subscription.takes.add(func() { subscription.takeEvents(count) })
	default:
		usage("nothing to take from: " + c.line)
	}
}

func (a *agent) send(c command) {
	item := hostcall.Item{Payload: c.bytes("payload"), Encoding: c.encoding()}
	a.mutex.Lock()
	call, invocation := a.calls[c.tag], a.invocations[c.tag]
	a.mutex.Unlock()
	switch {
	case call != nil:
		call.sends.add(func() {
			<-call.streamIsThere
			// Why it could not be sent is in the call's outcome.
			if call.stream.SendItem(context.Background(), item) == nil {
				c.report("sent")
			}
		})
	case invocation != nil:
		invocation.sends.add(func() { c.reportSent(invocation.request.SendItem(context.Background(), item)) })
	default:
		usage("nothing to send to: " + c.line)
	}
}

func (c command) reportSent(err error) {
	if err != nil {
		c.fail(err)
	} else {
		c.report("sent")
	}
}

func (a *agent) made(c command) *call {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	call := a.calls[c.tag]
	if call == nil {
		usage("no such call: " + c.line)
	}
	return call
}

func (a *agent) endArguments(c command) {
	call := a.made(c)
	call.sends.add(func() {
		<-call.streamIsThere
		call.stream.CloseSend()
	})
}

func (a *agent) cancel(c command) { a.made(c).cancel() }

// bench makes so many calls, so many of them at a time.
func (a *agent) bench(c command) {
	client, name, payload := a.connected(), c.values["name"], make([]byte, c.number("size"))
	calls, depth := c.number("calls"), c.number("depth")
	latencies := make([][]time.Duration, depth)
	failures := make(chan error, depth)
	begun := time.Now()
	for d := 0; d < depth; d++ {
		share := calls / depth
		if d < calls%depth {
			share++
		}
		go func(d int) {
			latencies[d] = make([]time.Duration, 0, share)
			for i := 0; i < share; i++ {
				sent := time.Now()
				if _, err := client.Call(context.Background(), name, payload); err != nil {
					failures <- err
					return
				}
				latencies[d] = append(latencies[d], time.Since(sent))
			}
			failures <- nil
		}(d)
	}
	var failure error
	for d := 0; d < depth; d++ {
		if err := <-failures; err != nil {
			failure = err
		}
	}
	seconds := time.Since(begun).Seconds()
	var all []time.Duration
	for _, some := range latencies {
		all = append(all, some...)
	}
	if failure != nil || len(all) == 0 {
		c.finish(failure)
		return
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	microseconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds()*1e6, 'f', 1, 64) }
	c.report("done", "seconds", strconv.FormatFloat(seconds, 'f', 6, 64),
		"p50", microseconds(all[len(all)/2]), "p99", microseconds(all[len(all)*99/100]))
}
