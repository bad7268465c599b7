package hostcall_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hostcall"
	"hostcall/internal/wire"
)

func openStream(
	ctx context.Context, t *testing.T, client *hostcall.Client, peer *fakePeer, options ...hostcall.StreamOption,
) (*hostcall.Stream, *wire.Frame) {
	t.Helper()
	stream := later(func() (*hostcall.Stream, error) { return client.Stream(ctx, "s", []byte("x"), options...) })
	call := peer.expect(wire.Call)
	return stream.must(t), call
}

func (p *fakePeer) item(id uint64, place uint32, payload string) {
	p.t.Helper()
	p.send(wire.Header{Kind: wire.Item, ID: id, Aux: place, Encoding: 1}, "", nil, []byte(payload))
}

func TestAStreamHandsOutItemsInOrderAndThenTheOutcome(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer)
	if call.Aux != 32 || call.Flags != 0 {
		t.Errorf("CALL is %+v", call)
	}
	for i := 0; i < 3; i++ {
		peer.item(call.ID, uint32(i), fmt.Sprint(i))
	}
	peer.result(call, hostcall.OK, "three")
	for i := 0; i < 3; i++ {
		if !stream.Next() || stream.Item().Text() != fmt.Sprint(i) || stream.Item().Encoding != hostcall.JSONEncoding {
			t.Errorf("item %d is %+v", i, stream.Item())
		}
	}
	if stream.Next() || stream.Err() != nil {
		t.Errorf("a fourth item: %v", stream.Err())
	}
	if reply, err := stream.Reply(); err != nil || reply.Text() != "three" {
		t.Errorf("the outcome is %v, %v", reply, err)
	}
	stream.Close()
	if stream.Err() != nil {
		t.Error(stream.Err())
	}
	peer.barrier()
}

func TestAReaderGrantsAsManyItemsAsItHasTakenOnceThatIsHalfOfItsWindow(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer, hostcall.Window(4))
	if call.Aux != 4 {
		t.Errorf("CALL grants %d items", call.Aux)
	}
	for i := 0; i < 4; i++ {
		peer.item(call.ID, uint32(i), "")
	}
	peer.barrier() // No credit while nobody takes any.
	stream.Next()
	peer.barrier()
	stream.Next()
	if credit := peer.expect(wire.Credit); credit.Aux != 2 || credit.ID != call.ID {
		t.Errorf("CREDIT is %+v", credit)
	}
	// One more than there is credit for.
	for i := 4; i < 7; i++ {
		peer.item(call.ID, uint32(i), "")
	}
	if goaway := peer.expect(wire.Goaway); !strings.Contains(string(goaway.Payload), "without credit") {
		t.Errorf("GOAWAY says %q", goaway.Payload)
	}
	count := 0
	for stream.Next() {
		count++
	}
	if count != 4 || !errors.Is(stream.Err(), hostcall.ErrConnectionLost) {
		t.Errorf("%d items came before %v", count, stream.Err())
	}
}

func TestTheErrorOfAStreamComesAfterItsItems(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer)
	peer.item(call.ID, 0, "")
	peer.result(call, hostcall.WorkerLost, "s: its worker went away")
	if !stream.Next() || stream.Err() != nil || stream.Next() {
		t.Error("the item is missing, or there are two")
	}
	checkStatus(t, stream.Err(), hostcall.WorkerLost, hostcall.FromDaemon)
	_, err := stream.Reply()
	checkStatus(t, err, hostcall.WorkerLost, hostcall.FromDaemon)
}

func TestClosingAStreamCancelsItsCall(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer)
	peer.item(call.ID, 0, "")
	stream.Next()
	stream.Close()
	stream.Close()
	if cancel := peer.expect(wire.Cancel); cancel.ID != call.ID {
		t.Errorf("CANCEL is %+v", cancel)
	}
	if stream.Next() || stream.Err() != nil {
		t.Errorf("after Close: %v", stream.Err())
	}
	_, err := stream.Reply()
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	// What was on its way is passed over.
	peer.item(call.ID, 1, "")
	peer.result(call, hostcall.Cancelled, "")
	peer.barrier()
}

func TestCancellingTheContextOfAStreamCancelsItsCall(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	for _, status := range []hostcall.Status{hostcall.Cancelled, hostcall.OK} {
		ctx, cancel := context.WithCancel(context.Background())
		stream, call := openStream(ctx, t, client, peer)
		peer.item(call.ID, 0, "")
		cancel()
		peer.expect(wire.Cancel)
		peer.result(call, status, "")
		if stream.Next() {
			t.Error("an item comes out after the cancellation")
		}
		// Also where the call has succeeded, for items are missing.
		if !errors.Is(stream.Err(), context.Canceled) || !errors.Is(stream.Err(), hostcall.Cancelled) {
			t.Errorf("%s: the error is %v", status, stream.Err())
		}
	}
}

func TestAStreamWhoseDaemonDoesNotAnswerACancellationEndsAllTheSame(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.CancelGrace(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	stream, call := openStream(ctx, t, client, peer)
	if stream.Next() {
		t.Error("an item came out of nothing")
	}
	err := stream.Err()
	checkStatus(t, err, hostcall.Timeout, hostcall.FromClient)
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() !=
		"s: TIMEOUT: the daemon has not answered within 1ms of the deadline (CancelGrace)" {
		t.Errorf("the error is %v", err)
	}
	peer.expect(wire.Cancel)
	// What comes after all goes nowhere, and breaks nothing.
	peer.item(call.ID, 0, "late")
	peer.result(call, hostcall.OK, "late")
	peer.barrier()
}

func TestTheReplyAloneDropsItemsAndKeepsThemComing(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer, hostcall.Window(2))
	peer.item(call.ID, 0, "")
	peer.item(call.ID, 1, "")
	peer.barrier()
	reply := later(stream.Reply)
	if credit := peer.expect(wire.Credit); credit.Aux != 2 {
		t.Errorf("CREDIT is %+v", credit)
	}
	peer.item(call.ID, 2, "")
	peer.expect(wire.Credit)
	peer.result(call, hostcall.OK, "done")
	if got := reply.must(t); got.Text() != "done" {
		t.Errorf("the outcome is %v", got)
	}
}

func TestArgumentItemsWaitForCreditAndTheEndDoesNot(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer, hostcall.SendArguments(), hostcall.Window(0))
	if call.Flags != wire.Open || call.Aux != 0 {
		t.Errorf("CALL is %+v", call)
	}
	sent := later(func() (int, error) { return 0, stream.Send(context.Background(), []byte("one")) })
	peer.barrier()
	select {
	case <-sent.done:
		t.Error("an item was sent without credit")
	default:
	}
	peer.send(wire.Header{Kind: wire.Credit, ID: call.ID, Aux: 1}, "", nil, nil)
	if item := peer.expect(wire.Item); item.ID != call.ID || item.Aux != 0 || string(item.Payload) != "one" {
		t.Errorf("ITEM is %+v", item)
	}
	sent.must(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	checkStatus(t, stream.Send(ctx, nil), hostcall.Cancelled, hostcall.FromClient)
	stream.CloseSend()
	stream.CloseSend()
	if last := peer.expect(wire.Item); last.Flags != wire.Last || last.Aux != 1 || last.Size != 0 {
		t.Errorf("the end is %+v", last)
	}
	checkStatus(t, stream.Send(context.Background(), nil), hostcall.InvalidArgument, hostcall.FromClient)
	peer.result(call, hostcall.OK, "sum")
	if stream.Next() || stream.Err() != nil {
		t.Errorf("a call without result items has one: %v", stream.Err())
	}
}

func TestSendingArgumentsEndsWithTheCall(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	stream, call := openStream(context.Background(), t, client, peer, hostcall.SendArguments())
	sent := later(func() (int, error) { return 0, stream.Send(context.Background(), nil) })
	peer.result(call, hostcall.Failed, "enough")
	_, err := sent.get(t)
	checkStatus(t, err, hostcall.Failed, hostcall.FromDaemon)
	plain, call := openStream(context.Background(), t, client, peer)
	checkStatus(t, plain.Send(context.Background(), nil), hostcall.InvalidArgument, hostcall.FromClient)
	peer.result(call, hostcall.OK, "")
	plain.Reply()
}

func TestAHandlerTakesArgumentsByTheWindowAndSendsItemsByTheCredit(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.ItemWindow(4))
	peer.register(client, "a", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		arguments := r.Arguments()
		for arguments.Next() {
			if err := r.Send(ctx, append(arguments.Item().Payload, '!')); err != nil {
				return nil, err
			}
		}
		return []byte("end"), arguments.Err()
	})
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 60_000, Flags: wire.Open, Aux: 1}, "", nil, nil)
	if credit := peer.expect(wire.Credit); credit.ID != 5 || credit.Aux != 4 {
		t.Errorf("CREDIT is %+v", credit)
	}
	peer.send(wire.Header{Kind: wire.Item, ID: 5, Aux: 0}, "", nil, []byte("a"))
	if item := peer.expect(wire.Item); item.ID != 5 || item.Aux != 0 || string(item.Payload) != "a!" {
		t.Errorf("ITEM is %+v", item)
	}
	peer.send(wire.Header{Kind: wire.Item, ID: 5, Aux: 1, Flags: wire.Last}, "", nil, []byte("b"))
	peer.barrier() // The second one waits for credit.
	peer.send(wire.Header{Kind: wire.Credit, ID: 5, Aux: 7}, "", nil, nil)
	if item := peer.expect(wire.Item); item.Aux != 1 || string(item.Payload) != "b!" {
		t.Errorf("ITEM is %+v", item)
	}
	peer.complete(5, hostcall.OK, "end")
}

func TestTheEndOfACallEndsItsHandlersStreams(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	errs := make(chan error, 2)
	peer.register(client, "a", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		sent := later(func() (int, error) {
			for {
				if err := r.Send(context.Background(), nil); err != nil {
					return 0, err
				}
			}
		})
		arguments := r.Arguments()
		for arguments.Next() {
		}
		errs <- arguments.Err()
		_, err := sent.get(t)
		errs <- err
		return nil, nil
	})
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 60_000, Flags: wire.Open, Aux: 1}, "", nil, nil)
	for credits, items := 0, 0; credits+items < 2; {
		switch frame := peer.next(); frame.Kind {
		case wire.Credit:
			credits++
		case wire.Item:
			items++
		}
	}
	peer.send(wire.Header{Kind: wire.Cancel, ID: 5, Status: uint8(hostcall.Timeout)}, "", nil, nil)
	for i := 0; i < 2; i++ {
		checkStatus(t, receive(t, errs), hostcall.Timeout, hostcall.FromDaemon)
	}
	peer.complete(5, hostcall.Cancelled, "")
}

func TestItemsThatCannotBeSentSayWhy(t *testing.T) {
	d := newFakeDaemon(t)
	d.maxFrame = "1000"
	client, peer := d.connect()
	errs := make(chan error, 3)
	peer.register(client, "a", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		if r.TakesItems() {
			errs <- r.Send(ctx, make([]byte, 1001))
			errs <- r.SendItem(ctx, hostcall.Item{Encoding: 3})
		} else {
			errs <- r.Send(ctx, nil)
		}
		return nil, nil
	})
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 60_000, Aux: 1}, "", nil, nil)
	checkStatus(t, receive(t, errs), hostcall.TooLarge, hostcall.FromClient)
	checkStatus(t, receive(t, errs), hostcall.InvalidArgument, hostcall.FromClient)
	peer.complete(5, hostcall.OK, "")
	peer.invoke(6, 1, "")
	checkStatus(t, receive(t, errs), hostcall.InvalidArgument, hostcall.FromClient)
	peer.complete(6, hostcall.OK, "")
}

func TestItemsThatAreTooLargeEndTheirCallOrArguments(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.LargestFrame(1024))
	stream, call := openStream(context.Background(), t, client, peer)
	peer.item(call.ID, 0, strings.Repeat("x", 2000))
	peer.expect(wire.Cancel)
	if stream.Next() {
		t.Error("an item that is too large has come")
	}
	checkStatus(t, stream.Err(), hostcall.TooLarge, hostcall.FromClient)
	peer.result(call, hostcall.Cancelled, "")
	peer.register(client, "a", 1, func(ctx context.Context, r *hostcall.Request) ([]byte, error) {
		arguments := r.Arguments()
		for arguments.Next() {
		}
		checkStatus(t, arguments.Err(), hostcall.TooLarge, hostcall.FromClient)
		return nil, nil
	})
	peer.send(wire.Header{Kind: wire.Invoke, ID: 5, Function: 1, Timeout: 60_000, Flags: wire.Open}, "", nil, nil)
	peer.expect(wire.Credit)
	peer.item(5, 0, strings.Repeat("x", 2000))
	peer.complete(5, hostcall.OK, "")
}

func TestSendersOfItemsWaitForADaemonThatDoesNotRead(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.ItemQueue(64 << 10))
	stream, call := openStream(context.Background(), t, client, peer, hostcall.SendArguments())
	peer.send(wire.Header{Kind: wire.Credit, ID: call.ID, Aux: 1 << 20}, "", nil, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	sent := 0
	var err error
	for ; err == nil; sent++ {
		err = stream.Send(ctx, make([]byte, 32<<10))
	}
	// The socket's own buffer takes some too.
	if !errors.Is(err, context.DeadlineExceeded) || sent > 1000 {
		t.Errorf("%d items of 32 KiB were sent to a daemon that does not read, then %v", sent, err)
	}
	stream.Close()
	for peer.next().Kind != wire.Cancel {
	}
}

func TestTheEndOfACallEndsASenderThatWaitsForADaemonThatDoesNotRead(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.ItemQueue(64 << 10))
	stream, call := openStream(context.Background(), t, client, peer, hostcall.SendArguments())
	peer.send(wire.Header{Kind: wire.Credit, ID: call.ID, Aux: 1 << 20}, "", nil, nil)
	sent := make(chan struct{}, 1<<20)
	sender := later(func() (int, error) {
		for {
			if err := stream.Send(context.Background(), make([]byte, 32<<10)); err != nil {
				return 0, err
			}
			sent <- struct{}{}
		}
	})
	// It stands still when it has not sent anything for a while.
	for stands := false; !stands; {
		select {
		case <-sent:
		case <-time.After(50 * time.Millisecond):
			stands = true
		}
	}
	stream.Close()
	_, err := sender.get(t)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
}

func TestADaemonWithoutStreamsOrEventsIsToldApart(t *testing.T) {
	d := newFakeDaemon(t)
	d.features = ""
	client, peer := d.connect()
	_, err := client.Stream(context.Background(), "a", nil)
	checkStatus(t, err, hostcall.Unavailable, hostcall.FromClient)
	_, err = client.Subscribe(context.Background(), "a")
	checkStatus(t, err, hostcall.Unavailable, hostcall.FromClient)
	_, err = client.Publish(context.Background(), "a", nil)
	checkStatus(t, err, hostcall.Unavailable, hostcall.FromClient)
	if !strings.Contains(err.Error(), "fake/1, has no events") {
		t.Errorf("it reads “%v”", err)
	}
	peer.barrier()
}
