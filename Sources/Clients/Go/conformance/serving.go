package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"hostcall"
)

// invocation is a call that this agent answers.
type invocation struct {
	tag          string
	ctx          context.Context
	request      *hostcall.Request
	arguments    *hostcall.Arguments
	outcome      chan command
	takes, sends queue
}

func (a *agent) register(c command) {
	options := []hostcall.HandleOption{
		hostcall.Concurrency(c.number("concurrency")),
		hostcall.LongestRun(time.Duration(c.number("timeout")) * time.Millisecond),
	}
	switch c.values["mode"] {
	case "exclusive":
		options = append(options, hostcall.Exclusive())
	case "replace":
		options = append(options, hostcall.Replace())
	}
	if c.is("idempotent") {
		options = append(options, hostcall.Idempotent())
	}
	if c.is("caller") {
		options = append(options, hostcall.CallerIdentity())
	}
	var count atomic.Int64
	registered := make(chan struct{})
	handler := func(ctx context.Context, request *hostcall.Request) (*hostcall.Reply, error) {
		<-registered
		i := &invocation{
			tag: fmt.Sprintf("%s.%d", c.tag, count.Add(1)), ctx: ctx, request: request, arguments: request.Arguments(),
			outcome: make(chan command, 1),
		}
		return a.answer(c, i)
	}
	registration, err := a.connected().HandleReply(c.values["name"], handler, options...)
	if err == nil {
		a.mutex.Lock()
		a.registrations[c.tag] = registration
		a.mutex.Unlock()
	}
	c.finish(err)
	close(registered)
}

// answer reports an invocation, and ends it as it is told.
func (a *agent) answer(c command, i *invocation) (*hostcall.Reply, error) {
	a.mutex.Lock()
	a.invocations[i.tag] = i
	a.mutex.Unlock()
	r := i.request
	c.report("invoke", "call", i.tag, "name", r.Function, "payload", hex.EncodeToString(r.Payload),
		"encoding", encodingText(r.Encoding), "metadata", metadataText(r.Metadata),
		"left", time.Until(r.Deadline).Milliseconds(), "correlation", r.CorrelationID)
	var outcome command
	select {
	case outcome = <-i.outcome:
	case <-i.ctx.Done():
		report(i.tag, "cancelled")
		outcome = <-i.outcome
	}
	if outcome.word == "raise" {
		panic(string(outcome.bytes("message")))
	}
	outcome.report("completed")
	status, payload := outcome.status(), outcome.bytes("payload")
	if status != hostcall.OK {
		return nil, &hostcall.Failure{
			Status: status, Payload: payload, Encoding: outcome.encoding(), Metadata: outcome.metadata(),
		}
	}
	return &hostcall.Reply{Payload: payload, Encoding: outcome.encoding(), Metadata: outcome.metadata()}, nil
}

func (a *agent) complete(c command) {
	i := a.invocation(c, c.tag)
	// Behind the items that are still to be sent.
	i.sends.add(func() { i.outcome <- c })
}

// takeArguments takes the next argument items.
func (i *invocation) takeArguments(count int) {
	for ; count > 0; count-- {
		if !i.arguments.Next() {
			if err := i.arguments.Err(); err != nil {
				reportError(i.tag, err)
			} else {
				report(i.tag, "items-end")
			}
			return
		}
		reportItem(i.tag, i.arguments.Item())
	}
}

func (a *agent) unregister(c command) {
	a.mutex.Lock()
	registration := a.registrations[c.tag]
	a.mutex.Unlock()
	if registration == nil {
		usage("no such registration: " + c.line)
	}
	c.finish(registration.Unregister(context.Background()))
}
