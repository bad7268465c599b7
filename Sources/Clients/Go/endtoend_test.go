package hostcall_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hostcall"
)

func TestCancellingReachesTheWorkerThroughAllItsCalls(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	started, ended := make(chan struct{}), make(chan error, 1)
	d.serve(worker, "outer", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		_, err := worker.Call(ctx, "inner", nil)
		return nil, err
	})
	d.serve(worker, "inner", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(context.Background())
	reply := laterCall(ctx, caller, "outer", "")
	receive(t, started)
	cancel()
	_, err := reply.get(t)
	failure := checkStatus(t, err, hostcall.Cancelled, hostcall.FromDaemon)
	if !errors.Is(err, context.Canceled) || failure.CorrelationID == 0 {
		t.Errorf("the error is %v", err)
	}
	if err := receive(t, ended); err != context.Canceled {
		t.Errorf("the inner handler's context has ended with %v", err)
	}
}

func TestADeadlineHoldsForTheCallAndForAllThatAreMadeForIt(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	left, ended := make(chan time.Duration, 1), make(chan error, 1)
	d.serve(worker, "outer", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		traceParent, _ := hostcall.TraceOf(ctx)
		if traceParent != "00-aa-bb-01" {
			t.Errorf("the trace is %q", traceParent)
		}
		_, err := worker.Call(ctx, "inner", nil)
		return nil, err
	})
	d.serve(worker, "inner", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		if r.Metadata["traceparent"] != "00-aa-bb-01" {
			t.Errorf("the metadata are %v", r.Metadata)
		}
		left <- time.Until(r.Deadline)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
	defer cancel()
	_, err := caller.Call(hostcall.WithTrace(ctx, "00-aa-bb-01", ""), "outer", nil)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromDaemon)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no outcome within") {
		t.Errorf("the error is %v", err)
	}
	if inherited := receive(t, left); inherited > 600*time.Millisecond {
		t.Errorf("the inner call had %v, of 600 ms", inherited)
	}
	receive(t, ended)
}

func TestFailuresAndPanicsReachTheCallerWhole(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	d.serve(worker, "fail", func(context.Context, *hostcall.Request) ([]byte, error) {
		return nil, &hostcall.Failure{
			Status: 200, Payload: []byte(`{"code":7}`), Encoding: hostcall.JSONEncoding,
			Metadata: hostcall.Metadata{"retry": "no"},
		}
	})
	d.serve(worker, "panic", func(context.Context, *hostcall.Request) ([]byte, error) { panic("ouch") })
	_, err := caller.Call(context.Background(), "fail", nil)
	failure := checkStatus(t, err, 200, hostcall.FromWorker)
	if string(failure.Payload) != `{"code":7}` || failure.Encoding != hostcall.JSONEncoding || failure.Metadata["retry"] != "no" {
		t.Errorf("the error is %+v", failure)
	}
	_, err = caller.Call(context.Background(), "panic", nil)
	checkStatus(t, err, hostcall.Panic, hostcall.FromWorker)
	if !strings.HasPrefix(err.Error(), "panic: PANIC from the worker: ouch (call ") {
		t.Errorf("it reads “%v”", err)
	}
	_, err = caller.Call(context.Background(), "nobody", nil)
	checkStatus(t, err, hostcall.NotFound, hostcall.FromDaemon)
}

func TestAWorkerAndASubscriberSurviveADaemonThatIsKilled(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	started := make(chan struct{}, 1)
	d.serve(worker, "work", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		if r.Text() == "hold" {
			started <- struct{}{}
			<-ctx.Done()
		}
		return r.Payload, nil
	})
	subscription, err := worker.Subscribe(context.Background(), "door.*")
	if err != nil {
		t.Fatal(err)
	}
	for round := 0; round < 3; round++ {
		reply := laterCall(context.Background(), caller, "work", "hold")
		receive(t, started)
		d.kill()
		if _, err := reply.get(t); !errors.Is(err, hostcall.ErrConnectionLost) {
			t.Errorf("the call under way has ended with %v", err)
		}
		d.start()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		again, err := caller.Call(ctx, "work", []byte("again"), hostcall.WaitForWorker())
		cancel()
		if err != nil || again.Text() != "again" {
			t.Fatalf("the next call: %v, %v", again, err)
		}
		wait(t, "the subscription is back", func() bool {
			subscribers, err := caller.Publish(context.Background(), "door.opened", nil)
			return err == nil && subscribers == 1
		})
		if !subscription.Next() || !subscription.Event().FollowsGap {
			t.Errorf("the event is %+v, %v", subscription.Event(), subscription.Err())
		}
	}
}

func TestStreamsGoBothWaysAtOnce(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	d.serve(worker, "double", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		sum := 0
		arguments := r.Arguments()
		for arguments.Next() {
			n, err := strconv.Atoi(arguments.Item().Text())
			if err != nil {
				return nil, err
			}
			sum += n
			if err := r.Send(ctx, []byte(strconv.Itoa(2*n))); err != nil {
				return nil, err
			}
		}
		return []byte(strconv.Itoa(sum)), arguments.Err()
	})
	const count = 5000
	stream, err := caller.Stream(context.Background(), "double", nil, hostcall.SendArguments(), hostcall.Window(8))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	sent := later(func() (int, error) {
		defer stream.CloseSend()
		for i := 0; i < count; i++ {
			if err := stream.Send(context.Background(), []byte(strconv.Itoa(i))); err != nil {
				return i, err
			}
		}
		return count, nil
	})
	for i := 0; stream.Next(); i++ {
		if stream.Item().Text() != strconv.Itoa(2*i) {
			t.Fatalf("item %d is %s", i, stream.Item().Text())
		}
	}
	sent.must(t)
	if reply, err := stream.Reply(); err != nil || reply.Text() != strconv.Itoa(count*(count-1)/2) {
		t.Errorf("the sum is %v, %v", reply, err)
	}
}

func TestASlowReaderSlowsItsWriterAndNobodyElse(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	var sent atomic.Int64
	ended := make(chan error, 1)
	d.serve(worker, "endless", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		for {
			if err := r.Send(ctx, []byte("item")); err != nil {
				ended <- err
				return nil, err
			}
			sent.Add(1)
		}
	})
	d.serve(worker, "echo", echo)
	stream, err := caller.Stream(context.Background(), "endless", nil, hostcall.Window(16))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 10; i++ {
		stream.Next()
	}
	wait(t, "all that may be is sent", func() bool { return sent.Load() >= 16+8 })
	for i := 0; i < 100; i++ {
		if _, err := caller.Call(context.Background(), "echo", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := sent.Load(); n != 16+8 {
		t.Errorf("%d items were sent to a reader with a window of 16 that has taken 10", n)
	}
	stream.Close()
	if err := receive(t, ended); !errors.Is(err, hostcall.Cancelled) {
		t.Errorf("the writer has ended with %v", err)
	}
}

func TestASubscriberThatDoesNotReadLosesTheOldestAndIsToldHowMany(t *testing.T) {
	d := startDaemon(t, "")
	watcher, publisher := d.connect(hostcall.EventBuffer(10, 1<<20)), d.connect()
	subscription, err := watcher.Subscribe(context.Background(), "n")
	if err != nil {
		t.Fatal(err)
	}
	const count = 200
	for i := 1; i <= count; i++ {
		if _, err := publisher.Publish(context.Background(), "n", []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	// The daemon writes a connection's frames in order.
	if _, err := watcher.Ping(context.Background()); err != nil {
		t.Fatal(err)
	}
	place := 0
	for place < count && subscription.Next() {
		place += 1 + subscription.Event().DroppedBefore
		if subscription.Event().Text() != strconv.Itoa(place) {
			t.Fatalf("%s came at the place %d", subscription.Event().Text(), place)
		}
	}
	if place != count {
		t.Errorf("it has ended at %d of %d: %v", place, count, subscription.Err())
	}
}

func TestLimitsOfTheDaemonAreErrorsThatNameThem(t *testing.T) {
	d := startDaemon(t, "[limits]\nframe-bytes = 100000\nqueued-calls-per-function = 2\n")
	told := make(chan hostcall.Notice, 10)
	worker, caller := d.connect(hostcall.OnNotice(func(n hostcall.Notice) { told <- n })), d.connect()
	_, err := caller.Call(context.Background(), "a", make([]byte, 100_000))
	checkStatus(t, err, hostcall.TooLarge, hostcall.FromClient)
	d.serve(worker, "large", func(context.Context, *hostcall.Request) ([]byte, error) { return make([]byte, 100_001), nil })
	_, err = caller.Call(context.Background(), "large", nil)
	checkStatus(t, err, hostcall.TooLarge, hostcall.FromDaemon)
	for receive(t, told).Kind != hostcall.CompletionRejected {
	}
	release := make(chan struct{})
	d.serve(worker, "lane", func(context.Context, *hostcall.Request) ([]byte, error) {
		<-release
		return nil, nil
	}, hostcall.Concurrency(1))
	var replies []*future[*hostcall.Reply]
	for i := 0; i < 10; i++ {
		replies = append(replies, laterCall(context.Background(), caller, "lane", ""))
	}
	overloaded := func() (count int) {
		for _, reply := range replies {
			select {
			case <-reply.done:
				count++
			default:
			}
		}
		return count
	}
	wait(t, "7 of 10 calls are refused, while 1 runs and 2 wait", func() bool { return overloaded() == 7 })
	close(release)
	succeeded := 0
	for _, reply := range replies {
		if _, err := reply.get(t); err == nil {
			succeeded++
		} else {
			checkStatus(t, err, hostcall.Overloaded, hostcall.FromDaemon)
		}
	}
	if succeeded != 3 {
		t.Errorf("%d calls have succeeded", succeeded)
	}
}

func TestShuttingDownAWorkerLosesNoCall(t *testing.T) {
	d := startDaemon(t, "")
	caller := d.connect()
	var served atomic.Int64
	begin := func() *hostcall.Client {
		worker := d.connect()
		d.serve(worker, "work", func(_ context.Context, r *hostcall.Request) ([]byte, error) {
			served.Add(1)
			return r.Payload, nil
		})
		return worker
	}
	worker := begin()
	stop := make(chan struct{})
	var group sync.WaitGroup
	for g := 0; g < 8; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := caller.Call(context.Background(), "work", nil); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for round := 0; round < 5; round++ {
		next := begin()
		before := served.Load()
		wait(t, "calls go on", func() bool { return served.Load() > before+100 })
		if err := worker.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		worker = next
	}
	close(stop)
	group.Wait()
}

func TestEverythingWithADeadlineEndsWhileTheDaemonStandsStill(t *testing.T) {
	d := startDaemon(t, "")
	client := d.connect(hostcall.CancelGrace(20 * time.Millisecond))
	if err := d.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The signal has been sent; the daemon's threads may still answer until all of them have stopped.
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(d.process.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the daemon has not stopped: %v, %v", status, err)
	}
	stream := func(ctx context.Context, options ...hostcall.StreamOption) (*hostcall.Stream, error) {
		return client.Stream(ctx, "hostcall.echo", nil, options...)
	}
	for what, run := range map[string]func(ctx context.Context) error{
		"a call": func(ctx context.Context) error {
			_, err := client.Call(ctx, "hostcall.echo", nil)
			return err
		},
		"a call that waits for a worker": func(ctx context.Context) error {
			_, err := client.Call(ctx, "nobody", nil, hostcall.WaitForWorker())
			return err
		},
		"a stream": func(ctx context.Context) error {
			s, err := stream(ctx)
			if err != nil {
				return err
			}
			for s.Next() {
			}
			return s.Err()
		},
		"the reply of a stream": func(ctx context.Context) error {
			s, err := stream(ctx)
			if err == nil {
				_, err = s.Reply()
			}
			return err
		},
		"an argument": func(ctx context.Context) error {
			s, err := stream(ctx, hostcall.SendArguments())
			if err != nil {
				return err
			}
			return s.Send(context.Background(), nil)
		},
		"a publication": func(ctx context.Context) error {
			_, err := client.Publish(ctx, "a", nil)
			return err
		},
		"a subscription": func(ctx context.Context) error {
			_, err := client.Subscribe(ctx, "a")
			return err
		},
		"a ping": func(ctx context.Context) error {
			_, err := client.Ping(ctx)
			return err
		},
	} {
		short, end := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := later(func() (int, error) { return 0, run(short) }).get(t)
		end()
		if checkStatus(t, err, hostcall.Timeout, hostcall.FromClient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, by its deadline: %v", what, err)
		}
		cancelled, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err = later(func() (int, error) { return 0, run(cancelled) }).get(t)
		if checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", what, err)
		}
	}
	// What comes late, when it goes on, is passed over.
	if err := d.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	reply, err := client.Call(context.Background(), "hostcall.echo", []byte("again"))
	if err != nil || reply.Text() != "again" {
		t.Errorf("after all: %v, %v", reply, err)
	}
	if err := client.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestShuttingDownWhileTheDaemonIsKilledIsAnError(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	runs, release := make(chan struct{}), make(chan struct{})
	d.serve(worker, "hold", func(context.Context, *hostcall.Request) ([]byte, error) {
		close(runs)
		<-release
		return nil, nil
	})
	reply := laterCall(context.Background(), caller, "hold", "")
	receive(t, runs)
	down := later(func() (int, error) { return 0, worker.Shutdown(context.Background()) })
	wait(t, "the worker is leaving", func() bool {
		_, err := worker.Call(context.Background(), "hostcall.echo", nil)
		return errors.Is(err, hostcall.ErrClosed)
	})
	d.kill()
	close(release)
	if _, err := down.get(t); !errors.Is(err, hostcall.ErrConnectionLost) {
		t.Errorf("shutting down has ended with %v", err)
	}
	if _, err := reply.get(t); !errors.Is(err, hostcall.ErrConnectionLost) {
		t.Errorf("the call has ended with %v", err)
	}
}

func TestADaemonThatStopsEndsWhatDoesNotEnd(t *testing.T) {
	d := startDaemon(t, "[server]\nshutdown-grace-milliseconds = 100\n")
	worker, caller := d.connect(), d.connect()
	started, ended := make(chan struct{}), make(chan struct{})
	d.serve(worker, "hold", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return nil, nil
	})
	reply := laterCall(context.Background(), caller, "hold", "")
	receive(t, started)
	d.process.Process.Signal(syscall.SIGTERM)
	_, err := reply.get(t)
	checkStatus(t, err, hostcall.ShuttingDown, hostcall.FromDaemon)
	receive(t, ended)
}

func TestRegistrationsHaveTheOptionsOfTheDaemon(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	registration := d.serve(worker, "who", func(_ context.Context, r *hostcall.Request) ([]byte, error) {
		who, ok := r.Caller()
		return []byte(fmt.Sprint(ok, " ", who.ProcessID == int32(os.Getpid()))), nil
	}, hostcall.Exclusive(), hostcall.CallerIdentity())
	if reply, err := caller.Call(context.Background(), "who", nil); err != nil || reply.Text() != "true true" {
		t.Errorf("the caller: %v, %v", reply, err)
	}
	_, err := caller.Handle("who", echo)
	checkStatus(t, err, hostcall.AlreadyRegistered, hostcall.FromDaemon)
	if err := registration.Unregister(context.Background()); err != nil {
		t.Error(err)
	}
	_, err = caller.Call(context.Background(), "who", nil)
	checkStatus(t, err, hostcall.NotFound, hostcall.FromDaemon)
	d.serve(worker, "files.*", func(_ context.Context, r *hostcall.Request) ([]byte, error) { return []byte(r.Function), nil })
	if reply, err := caller.Call(context.Background(), "files.read", nil); err != nil || reply.Text() != "files.read" {
		t.Errorf("a pattern: %v, %v", reply, err)
	}
	d.serve(worker, "short", func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, hostcall.LongestRun(20*time.Millisecond))
	_, err = caller.Call(context.Background(), "short", nil)
	checkStatus(t, err, hostcall.Timeout, hostcall.FromDaemon)
}

func TestManyGoroutinesCallThroughTheDaemon(t *testing.T) {
	d := startDaemon(t, "")
	worker, caller := d.connect(), d.connect()
	d.serve(worker, "echo", echo, hostcall.Concurrency(1000))
	var group sync.WaitGroup
	for g := 0; g < 32; g++ {
		group.Add(1)
		go func(g int) {
			defer group.Done()
			for i := 0; i < 100; i++ {
				text := strings.Repeat(fmt.Sprintf("%d/%d ", g, i), 1+i*g%3000)
				reply, err := caller.Call(context.Background(), "echo", []byte(text))
				if err != nil || reply.Text() != text {
					t.Errorf("%d bytes have not come back: %v", len(text), err)
				}
			}
		}(g)
	}
	group.Wait()
}
