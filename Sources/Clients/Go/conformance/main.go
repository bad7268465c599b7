// The agent of the conformance test for Go: it does with the library what it is told on standard input, and reports on
// standard output. Tests/Conformance/Agents.md says what it is told and how it answers.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sync"

	"hostcall"
)

// statusUsage is the exit status where a command cannot be understood.
const statusUsage = 64

// agent is a client and everything that the commands refer to by their tags.
type agent struct {
	socket string

	mutex         sync.Mutex
	client        *hostcall.Client
	calls         map[string]*call
	invocations   map[string]*invocation
	registrations map[string]*hostcall.Registration
	subscriptions map[string]*subscription
}

func main() {
	if len(os.Args) != 2 {
		usage("usage: conformance SOCKET")
	}
	a := &agent{
		socket: os.Args[1], calls: map[string]*call{}, invocations: map[string]*invocation{},
		registrations: map[string]*hostcall.Registration{}, subscriptions: map[string]*subscription{},
	}
	lines := bufio.NewScanner(os.Stdin)
	// A payload of 16 MiB is 32 MiB of digits.
	lines.Buffer(nil, 256<<20)
	for lines.Scan() {
		a.do(parse(lines.Text()))
	}
	a.mutex.Lock()
	client := a.client
	a.mutex.Unlock()
	if client != nil {
		client.Close()
	}
}

func usage(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(statusUsage)
}

// do begins a command; whatever waits does so on a goroutine of its own.
func (a *agent) do(c command) {
	switch c.word {
	case "connect":
		go a.connect(c)
	case "ping":
		go a.ping(c)
	case "close", "shutdown":
		go a.leave(c)
	case "call":
		a.call(c)
	case "take":
		a.take(c)
	case "send":
		a.send(c)
	case "end":
		a.endArguments(c)
	case "cancel":
		a.cancel(c)
	case "register":
		go a.register(c)
	case "unregister":
		go a.unregister(c)
	case "complete", "raise":
		a.complete(c)
	case "subscribe":
		a.subscribe(c)
	case "unsubscribe":
		a.unsubscribe(c)
	case "publish":
		go a.publish(c)
	case "bench":
		go a.bench(c)
	default:
		usage("no such command: " + c.line)
	}
}

// connected is the client that the first command has made.
func (a *agent) connected() *hostcall.Client {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.client == nil {
		usage("there is no client: connect comes first, and is waited for")
	}
	return a.client
}

func (a *agent) connect(c command) {
	client, err := hostcall.Connect(context.Background(), hostcall.SocketPath(a.socket))
	if err != nil {
		c.fail(err)
		return
	}
	a.mutex.Lock()
	a.client = client
	a.mutex.Unlock()
	c.report("done")
}

func (a *agent) ping(c command) {
	_, err := a.connected().Ping(context.Background())
	c.finish(err)
}

func (a *agent) leave(c command) {
	client := a.connected()
	if c.word == "close" {
		c.finish(client.Close())
	} else {
		c.finish(client.Shutdown(context.Background()))
	}
}

// context is the one for calls and publications: that of a handler, where the command says so.
func (a *agent) context(c command) context.Context {
	inside := c.values["inside"]
	if inside == "" {
		return context.Background()
	}
	return a.invocation(c, inside).ctx
}

func (a *agent) invocation(c command, tag string) *invocation {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	i := a.invocations[tag]
	if i == nil {
		usage("no such invocation: " + c.line)
	}
	return i
}
