// Events: subscribing, publishing, and the end of subscriptions.
#include "support.hpp"

using namespace tests;
using hostcall::Context;
using hostcall::Encoding;
using hostcall::Event;
using hostcall::Metadata;
using hostcall::PublishOptions;
using hostcall::Status;
using hostcall::Subscription;

TEST_CASE("an event reaches everybody who has subscribed, whole") {
  Channel<Event> by_name, by_pattern;
  Context context = Context::open();
  const Subscription one = context.subscribe("door.opened", [&](Event event) { by_name.put(std::move(event)); });
  const Subscription two = context.subscribe("door.*", [&](Event event) { by_pattern.put(std::move(event)); });
  // The daemon counts connections.
  CHECK(context.publish("door.opened", "front", PublishOptions().encoding(Encoding{128}).metadata({{"by", "Ann"}})) ==
        1);
  for (auto* channel : {&by_name, &by_pattern}) {
    const Event event = channel->take();
    CHECK(event.name == "door.opened");
    CHECK(event.data == "front");
    CHECK(event.encoding == Encoding{128});
    CHECK(event.metadata == Metadata{{"by", "Ann"}});
    CHECK(event.dropped_before == 0);
    CHECK_FALSE(event.follows_gap);
  }
  CHECK(context.publish("window.opened") == 0);
}

TEST_CASE("events come in the order in which they were published") {
  Channel<std::string> came;
  Context context = Context::open();
  const Subscription subscription = context.subscribe("count", [&](const Event& event) { came.put(event.data); });
  for (int number = 0; number < 500; ++number) context.notify("count", std::to_string(number));
  for (int number = 0; number < 500; ++number) {
    if (const auto text = came.take(); text != std::to_string(number)) FAIL("out of order: " << text);
  }
}

TEST_CASE("a subscription that is gone calls back no more, and its callback is destroyed once") {
  Watched<int> ends;
  Watched<int> count;
  Context context = Context::open();
  {
    const Subscription subscription = context.subscribe(
        "tick", [&, counted = Counted(ends)](const Event&) { count.change([](int& all) { ++all; }); });
    context.publish("tick");
    count.wait([](int all) { return all == 1; });
  }
  CHECK(context.publish("tick") == 0);
  ends.wait([](int all) { return all == 1; });
  context.close();
  CHECK(ends.get() == 1);
  CHECK(count.get() == 1);
}

TEST_CASE("the end of a subscription waits for a callback that runs, but not inside of it") {
  Gate began, goes_on;
  Watched<bool> has_run{false};
  Gate unsubscribed_itself;
  Context context = Context::open();
  Subscription waits = context.subscribe("tick", [&](const Event&) {
    began.open();
    goes_on.wait();
    has_run.set(true);
  });
  context.publish("tick");
  began.wait();
  std::thread opener([&] { goes_on.open(); });
  waits.unsubscribe();
  CHECK(has_run.get());
  opener.join();
  waits.unsubscribe();

  Channel<Subscription*> own;
  Subscription itself = context.subscribe("tock", [&](const Event&) {
    own.take()->unsubscribe();
    unsubscribed_itself.open();
  });
  own.put(&itself);
  context.publish("tock");
  unsubscribed_itself.wait();
  context.close();
}

TEST_CASE("a subscription may be moved, and assigned nothing") {
  Channel<std::string> came;
  Context context = Context::open();
  Subscription first = context.subscribe("tick", [&](const Event& event) { came.put(event.data); });
  Subscription second = std::move(first);
  CHECK(context.publish("tick", "moved") == 1);
  CHECK(came.take() == "moved");
  second = Subscription();
  CHECK(context.publish("tick") == 0);
}

TEST_CASE("what a callback throws is told, and the next event comes") {
  Channel<std::string> told, came;
  Context context = Context::open(hostcall::ContextOptions().on_uncaught([&](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      told.put(error.what());
    }
  }));
  const Subscription subscription = context.subscribe("tick", [&](const Event& event) {
    if (event.data == "bad") throw std::runtime_error("a bad event");
    came.put(event.data);
  });
  context.publish("tick", "bad");
  context.publish("tick", "good");
  CHECK(told.take() == "a bad event");
  CHECK(came.take() == "good");
}

TEST_CASE("whoever is too slow is told how many events were dropped") {
  Gate began, goes_on;
  Channel<std::uint64_t> dropped;
  Context context = Context::open();
  const Subscription subscription = context.subscribe("tick", [&](const Event& event) {
    began.open();
    goes_on.wait();
    if (event.data == "last") return dropped.put(event.dropped_before);
    if (event.dropped_before > 0) dropped.put(event.dropped_before);
  });
  context.publish("tick");
  began.wait();
  for (int number = 0; number < 3'000; ++number) context.notify("tick", std::to_string(number));
  context.publish("tick", "last");
  goes_on.open();
  CHECK(dropped.take() > 0);
}

TEST_CASE("a subscription that is refused throws, and its callback is destroyed") {
  Watched<int> ends;
  Context context = Context::open();
  const auto error =
      error_of([&] { auto none = context.subscribe("no pattern", [counted = Counted(ends)](const Event&) {}); });
  CHECK(error.status() == Status::invalid_argument);
  CHECK(ends.get() == 1);
  CHECK(error_of([&] { context.publish("hostcall.mine"); }).status() == Status::invalid_argument);
}

TEST_CASE("a subscription may outlive its context") {
  std::optional<Subscription> subscription;
  {
    Context context = Context::open();
    subscription = context.subscribe("tick", [](const Event&) {});
  }
  subscription.reset();
}
