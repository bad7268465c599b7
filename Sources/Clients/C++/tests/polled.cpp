// Polled contexts: no thread but the test's runs a callback.
#include "support.hpp"

#include <poll.h>

using namespace tests;
using hostcall::Context;
using hostcall::ContextOptions;
using hostcall::Event;
using hostcall::Item;
using hostcall::Outcome;
using hostcall::Request;
using hostcall::Status;
using hostcall::Stream;
using hostcall::StreamOptions;

namespace {

Context open_polled() { return Context::open(ContextOptions().polled()); }

/// Polls until the condition holds.
template <class Condition>
void poll_until(const Context& context, Condition holds) {
  const auto end = std::chrono::steady_clock::now() + generous;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("polled in vain");
    context.poll(100ms);
  }
}

/// A host function that sends each argument back, twice as long.
std::string send_twice(Request& request) {
  while (const auto item = request.next_argument()) request.send(item->data + item->data);
  return "end";
}

}  // namespace

TEST_CASE("polled: callbacks run on the thread that polls, when the descriptor is readable") {
  Context context = open_polled();
  const auto is_here = [id = std::this_thread::get_id()] { return std::this_thread::get_id() == id; };
  std::vector<std::string> ran;
  context.handle("echo", [&](Request& request) {
    CHECK(is_here());
    ran.push_back("function");
    return request.data();
  });
  context.call("echo", "x", {}, [&](const Outcome& outcome) {
    CHECK(is_here());
    ran.push_back(outcome.get().data());
  });
  while (ran.size() < 2) {
    pollfd readable{context.poll_fd(), POLLIN, 0};
    REQUIRE(::poll(&readable, 1, std::chrono::duration_cast<std::chrono::milliseconds>(generous).count()) == 1);
    CHECK(context.poll() > 0);
  }
  CHECK(ran == std::vector<std::string>{"function", "x"});
  CHECK(context.poll() == 0);
}

TEST_CASE("polled: what waits runs callbacks meanwhile") {
  Context context = open_polled();
  context.handle("echo", [](Request& request) { return request.data(); });
  CHECK(context.call_wait("echo", "one").data() == "one");
  auto pending = context.start("echo", "two");
  CHECK(pending.wait_for(generous));
  CHECK(pending.get().data() == "two");
  CHECK(context.start("echo", "three").get().data() == "three");
}

TEST_CASE("polled: a pending call gives up waiting in time") {
  Context context = open_polled();
  std::optional<hostcall::Completer> kept;
  context.handle("later", [&](Request&, hostcall::Completer completer) { kept = std::move(completer); });
  auto pending = context.start("later");
  CHECK_FALSE(pending.wait_for(50ms));
  poll_until(context, [&] { return kept.has_value(); });
  kept->complete("done");
  CHECK(pending.get().data() == "done");
}

TEST_CASE("polled: a caller streams both ways") {
  const Folder folder;
  Context bridge = Context::open(ContextOptions().socket_path(folder.socket_path()));
  bridge.handle("twice", send_twice);
  Context context = Context::connect(ContextOptions().socket_path(folder.socket_path()).polled());
  Stream stream = context.stream("twice", "", StreamOptions().window(4).arguments());
  for (const char* text : {"a", "b", "c"}) CHECK(stream.send(text));
  CHECK(stream.send_end());
  std::string all;
  for (const Item& item : stream) all += item.data;
  CHECK(all == "aabbcc");
  CHECK(stream.result().data() == "end");
}

TEST_CASE("polled: a host function streams both ways") {
  const Folder folder;
  Context bridge = Context::open(ContextOptions().socket_path(folder.socket_path()));
  Context context = Context::connect(ContextOptions().socket_path(folder.socket_path()).polled());
  context.handle("twice", send_twice);
  std::string all;
  auto caller = std::async(std::launch::async, [&] {
    Stream stream = bridge.stream("twice", "", StreamOptions().window(4).arguments());
    for (const char* text : {"a", "b", "c"}) CHECK(stream.send(text));
    CHECK(stream.send_end());
    for (const Item& item : stream) all += item.data;
    CHECK(stream.result().data() == "end");
  });
  poll_until(context, [&] { return caller.wait_for(0s) == std::future_status::ready; });
  CHECK(all == "aabbcc");
}

TEST_CASE("polled: a host function sees that its call is over") {
  Context context = open_polled();
  std::optional<Status> why;
  context.handle("hold", [&](Request& request) {
    while (!request.cancelled()) std::this_thread::yield();
    why = request.wait_until_cancelled();
  });
  const auto error = error_of([&] { context.call_wait("hold", "", hostcall::CallOptions().timeout(30ms)); });
  CHECK(error.status() == Status::timeout);
  poll_until(context, [&] { return why.has_value(); });
  CHECK(why == Status::timeout);
}

TEST_CASE("polled: events, and the end") {
  std::vector<std::string> came;
  Watched<int> ends;
  {
    Context context = open_polled();
    const auto subscription =
        context.subscribe("tick", [&, counted = Counted(ends)](const Event& event) { came.push_back(event.data); });
    CHECK(context.publish("tick", "one") == 1);
    poll_until(context, [&] { return came.size() == 1; });
    context.handle("function", [counted = Counted(ends)](Request&) {});
  }
  CHECK(ends.get() == 2);
  CHECK(came == std::vector<std::string>{"one"});
}

TEST_CASE("polled: other contexts have nothing to poll") {
  Context context = Context::open();
  CHECK(error_of([&] { context.poll_fd(); }).status() == Status::invalid_argument);
  CHECK(error_of([&] { context.poll(); }).status() == Status::invalid_argument);
}
