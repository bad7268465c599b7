// The demo's worker in Go: it serves hop.go, which passes a call on to the worker of another language. So one call goes
// through all of them, with one deadline, one trace, and one cancellation.
//
//	worker [SOCKET]
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"hostcall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "hop.go: %v\n", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	leaving, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	options := []hostcall.ConnectOption{hostcall.ClientName("hostcall-demo-go")}
	if len(arguments) > 0 {
		options = append(options, hostcall.SocketPath(arguments[0]))
	}
	client, err := hostcall.Connect(leaving, options...)
	if err != nil {
		return err
	}
	worker := hopper{client}
	if _, err := client.Handle("hop.go", worker.hop); err != nil {
		return err
	}
	fmt.Println("ready")
	select {
	case <-leaving.Done():
	case <-client.Done():
		return client.Err()
	}
	return client.Shutdown(context.Background())
}

// hopper passes calls on.
type hopper struct{ client *hostcall.Client }

// hop does what the first word of the payload says: end, hold, or the language whose worker is called with the rest.
func (h hopper) hop(ctx context.Context, request *hostcall.Request) ([]byte, error) {
	line := fmt.Sprintf("go call=%d left=%d\n", request.CorrelationID, time.Until(request.Deadline).Milliseconds())
	word, rest, _ := strings.Cut(request.Text(), " ")
	switch word {
	case "end":
		return []byte(line), nil
	case "hold":
		return nil, h.hold(ctx, line)
	}
	// The context takes deadline, trace and cancellation along.
	reply, err := h.client.Call(ctx, "hop."+word, []byte(rest))
	if err != nil {
		return nil, err
	}
	return append([]byte(line), reply.Payload...), nil
}

// hold waits until the call is cancelled, and tells everybody.
func (h hopper) hold(ctx context.Context, line string) error {
	<-ctx.Done()
	// The call's own context has ended, and what is to be told outlives it.
	telling, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := h.client.Publish(telling, "hop.cancelled", []byte(line)); err != nil {
		return err
	}
	return &hostcall.Failure{Status: hostcall.Cancelled}
}
