package hostcall_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"hostcall"
	"hostcall/internal/wire"
)

func TestSubscriptionsOfOnePatternShareOneAtTheDaemon(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	first := peer.subscribe(client, "door.*")
	second, err := client.Subscribe(context.Background(), "door.*")
	if err != nil {
		t.Fatal(err)
	}
	everything := peer.subscribe(client, "*")
	other := peer.subscribe(client, "door.opened.twice")
	peer.send(wire.Header{Kind: wire.Event, ID: 1, Encoding: 1}, "door.opened", wire.AppendEntry(nil, "k", "v"), []byte("{}"))
	for _, subscription := range []*hostcall.Subscription{first, second, everything} {
		if !subscription.Next() {
			t.Fatal(subscription.Err())
		}
		event := subscription.Event()
		if event.Name != "door.opened" || event.Text() != "{}" || event.Encoding != hostcall.JSONEncoding ||
			event.Metadata["k"] != "v" || event.Place != 1 || event.DroppedBefore != 0 || event.FollowsGap {
			t.Errorf("the event is %+v", event)
		}
	}
	first.Close()
	first.Close()
	if first.Next() || first.Err() != nil {
		t.Errorf("after Close: %v", first.Err())
	}
	peer.barrier() // The second one still wants them.
	second.Close()
	unsubscribe := peer.expect(wire.Unsubscribe)
	if string(unsubscribe.Name) != "door.*" {
		t.Errorf("UNSUBSCRIBE has the name %s", unsubscribe.Name)
	}
	peer.result(unsubscribe, hostcall.OK, "")
	again := peer.subscribe(client, "door.*")
	peer.event(2, "door.closed", "", 0)
	if !again.Next() || again.Event().Name != "door.closed" {
		t.Errorf("the event is %+v", again.Event())
	}
	other.Close()
	peer.expect(wire.Unsubscribe)
}

func TestARefusedSubscriptionIsToldToEverybodyWhoAsked(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	subscribe := func() (*hostcall.Subscription, error) { return client.Subscribe(context.Background(), "a") }
	first := later(subscribe)
	frame := peer.expect(wire.Subscribe)
	second := later(subscribe)
	peer.result(frame, hostcall.Denied, "a: not for you")
	_, err := first.get(t)
	checkStatus(t, err, hostcall.Denied, hostcall.FromDaemon)
	// The second one came before the refusal, or asks anew.
	select {
	case <-second.done:
	default:
		peer.connection.Close()
	}
	if _, err = second.get(t); err == nil {
		t.Error("the second one was not refused")
	}
}

func TestASlowSubscriberLosesTheOldestEventsAndIsToldHowMany(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.EventBuffer(3, 1<<20))
	subscription := peer.subscribe(client, "a")
	for i := uint64(1); i <= 10; i++ {
		peer.event(i, "a", "", 0)
	}
	peer.barrier()
	for i, dropped := uint64(8), 7; i <= 10; i, dropped = i+1, 0 {
		if !subscription.Next() || subscription.Event().Place != i || subscription.Event().DroppedBefore != dropped {
			t.Errorf("the event is %+v; expected place %d, %d dropped", subscription.Event(), i, dropped)
		}
	}
	// What the daemon dropped is told too.
	peer.event(11, "a", "", 5)
	if !subscription.Next() || subscription.Event().DroppedBefore != 5 {
		t.Errorf("the event is %+v", subscription.Event())
	}
}

func TestTheBytesOfWaitingEventsAreBoundedToo(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.EventBuffer(1000, 100_000))
	subscription := peer.subscribe(client, "a")
	for i := uint64(1); i <= 10; i++ {
		peer.event(i, "a", strings.Repeat("x", 30_000), 0)
	}
	peer.barrier()
	subscription.Close()
	count := 0
	for subscription.Next() {
		count++
	}
	if count != 3 {
		t.Errorf("%d events of 30,000 bytes were kept in 100,000", count)
	}
	// One alone may be larger.
	peer.expect(wire.Unsubscribe)
	subscription = peer.subscribe(client, "a")
	peer.event(11, "a", strings.Repeat("x", 200_000), 0)
	if !subscription.Next() || subscription.Event().DroppedBefore != 0 {
		t.Errorf("a large event was lost")
	}
}

func TestAnEventThatIsTooLargeCountsAsDropped(t *testing.T) {
	client, peer := newFakeDaemon(t).connect(hostcall.LargestFrame(1024))
	subscription := peer.subscribe(client, "a")
	peer.event(1, "a", strings.Repeat("x", 2000), 0)
	peer.event(2, "a", "small", 0)
	if !subscription.Next() || subscription.Event().Text() != "small" || subscription.Event().DroppedBefore != 1 {
		t.Errorf("the event is %+v", subscription.Event())
	}
}

func TestPublishingTellsHowManyHaveSubscribed(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	published := later(func() (int, error) {
		return client.Publish(context.Background(), "door.opened", []byte("front"),
			hostcall.WithMetadata(hostcall.Metadata{"k": "v"}), hostcall.WithEncoding(hostcall.CBOREncoding))
	})
	frame := peer.expect(wire.Publish)
	if string(frame.Name) != "door.opened" || string(frame.Payload) != "front" || frame.Encoding != 2 ||
		frame.ID == 0 || metadataOf(frame)["k"] != "v" {
		t.Errorf("PUBLISH is %+v", frame)
	}
	peer.send(wire.Header{Kind: wire.Result, ID: frame.ID, Aux: 3}, "", nil, nil)
	if subscribers := published.must(t); subscribers != 3 {
		t.Errorf("%d subscribers", subscribers)
	}
	published = later(func() (int, error) { return client.Publish(context.Background(), "door.opened", nil) })
	peer.result(peer.expect(wire.Publish), hostcall.Denied, "door.opened: not for this user")
	_, err := published.get(t)
	checkStatus(t, err, hostcall.Denied, hostcall.FromDaemon)
	if err := client.PublishNoReply(context.Background(), "a", nil); err != nil {
		t.Error(err)
	}
	if frame := peer.expect(wire.Publish); frame.ID != 0 {
		t.Errorf("PUBLISH is %+v", frame)
	}
}

func TestEventsOfTheDaemonAreNotPublishedByOthers(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	_, err := client.Publish(context.Background(), "hostcall.x", nil)
	checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	err = client.PublishNoReply(context.Background(), "hostcall.x", nil)
	checkStatus(t, err, hostcall.InvalidArgument, hostcall.FromClient)
	if err.Error() != "hostcall.x: INVALID_ARGUMENT: names below hostcall. are the daemon's own, and nobody else publishes them" {
		t.Errorf("it reads “%v”", err)
	}
	peer.barrier()
	// The name alone is not below it.
	if err := client.PublishNoReply(context.Background(), "hostcall", nil); err != nil {
		t.Error(err)
	}
	peer.expect(wire.Publish)
}

func TestTheContextOfASubscriptionEndsIt(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	ctx, cancel := context.WithCancel(context.Background())
	future := later(func() (*hostcall.Subscription, error) { return client.Subscribe(ctx, "a") })
	peer.result(peer.expect(wire.Subscribe), hostcall.OK, "")
	subscription := future.must(t)
	peer.event(1, "a", "", 0)
	peer.barrier()
	cancel()
	peer.expect(wire.Unsubscribe)
	if !subscription.Next() || subscription.Next() {
		t.Error("the event that was there is missing, or there are two")
	}
	if !errors.Is(subscription.Err(), context.Canceled) {
		t.Errorf("the error is %v", subscription.Err())
	}
	// Before the daemon has answered, too.
	ctx, cancel = context.WithCancel(context.Background())
	future = later(func() (*hostcall.Subscription, error) { return client.Subscribe(ctx, "b") })
	frame := peer.expect(wire.Subscribe)
	cancel()
	_, err := future.get(t)
	checkStatus(t, err, hostcall.Cancelled, hostcall.FromClient)
	if unsubscribe := peer.expect(wire.Unsubscribe); string(unsubscribe.Name) != "b" {
		t.Errorf("UNSUBSCRIBE has the name %s", unsubscribe.Name)
	}
	peer.result(frame, hostcall.OK, "")
	peer.barrier()
}

func TestClosingTheClientEndsSubscriptionsWithoutAnError(t *testing.T) {
	client, peer := newFakeDaemon(t).connect()
	subscription := peer.subscribe(client, "a")
	client.Close()
	if subscription.Next() || subscription.Err() != nil {
		t.Errorf("the error is %v", subscription.Err())
	}
	_, err := client.Subscribe(context.Background(), "a")
	if !errors.Is(err, hostcall.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}
