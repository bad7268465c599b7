// No memory, and callables whose copies throw: what was asked for fails, and nothing else does.
#include "no_memory.hpp"
#include "support.hpp"

using namespace tests;
using hostcall::Context;
using hostcall::ContextOptions;
using hostcall::Event;
using hostcall::Outcome;
using hostcall::Reply;
using hostcall::Request;
using hostcall::Status;

namespace {

/// A callable that may be moved but not copied without an exception.
struct ThrowsWhenCopied {
  ThrowsWhenCopied() = default;
  ThrowsWhenCopied(const ThrowsWhenCopied&) { throw std::runtime_error("it cannot be copied"); }

  template <class... Arguments>
  void operator()(Arguments&&...) const {}
};

/// Made before there is no memory.
const std::string large(large_bytes, 'x');

/// A bridge that tells of exceptions that nobody can catch.
Context open_telling(Channel<std::string>& told) {
  return Context::open(ContextOptions().on_uncaught([&told](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::bad_alloc&) {
      told.put("no memory");
    } catch (const std::exception& error) {
      told.put(error.what());
    }
  }));
}

}  // namespace

TEST_CASE("no memory for a reply: whoever waits for it is told") {
  Channel<std::string> told;
  const Reply kept(large);
  Context context = open_telling(told);
  // Completers lend what they send, so nothing is copied on this side.
  context.handle("large", [&](Request&, hostcall::Completer completer) { completer.complete(kept); });
  CHECK(context.call_wait("large").data().size() == large_bytes);
  {
    const NoMemory none;
    CHECK_THROWS_AS(context.call_wait("large"), std::bad_alloc);
    CHECK_THROWS_AS(take(context.call("large")), std::bad_alloc);
    context.call("large", "", {}, [](const Outcome&) {});
    CHECK(told.take() == "no memory");
    CHECK_THROWS_AS(context.stream("large").result(), std::bad_alloc);
  }
  CHECK(context.call_wait("large").data().size() == large_bytes);
}

TEST_CASE("no memory in a host function: the call ends with PANIC") {
  Context context = Context::open();
  context.handle("copy", [](Request& request) { return std::string(request.data()); });
  {
    const NoMemory none;
    CHECK(error_of([&] { context.call_wait("copy", large); }).status() == Status::panic);
  }
  CHECK(context.call_wait("copy", large).data().size() == large_bytes);
}

TEST_CASE("no memory for an item: whoever takes it is told") {
  Context context = Context::open();
  context.handle("item", [](Request& request) { request.send(large); });
  context.handle("take", [](Request& request) { request.next_argument(); });
  const NoMemory none;
  hostcall::Stream results = context.stream("item");
  CHECK_THROWS_AS(results.next(), std::bad_alloc);
  hostcall::Stream arguments = context.stream("take", "", hostcall::StreamOptions().arguments());
  CHECK(arguments.send(large));
  CHECK(error_of([&] { arguments.result(); }).status() == Status::panic);
}

TEST_CASE("no memory for an event: it is told, and the next one comes") {
  Channel<std::string> told, came;
  Context context = open_telling(told);
  const auto subscription = context.subscribe("tick", [&](const Event& event) { came.put(event.data); });
  const NoMemory none;
  context.publish("tick", large);
  context.publish("tick", "small");
  CHECK(told.take() == "no memory");
  // Not as the value of a check, which would be printed.
  const bool is_small = came.take() == "small";
  CHECK(is_small);
}

TEST_CASE("a callable whose copy throws: nothing is begun, and nothing leaks") {
  const ThrowsWhenCopied callable;
  Context context = Context::open();
  CHECK_THROWS_AS(context.handle("name", callable), std::runtime_error);
  CHECK(error_of([&] { context.call_wait("name"); }).status() == Status::not_found);
  CHECK_THROWS_AS(context.call("name", "", {}, callable), std::runtime_error);
  CHECK_THROWS_AS((void)context.subscribe("name", callable), std::runtime_error);
  CHECK(context.publish("name") == 0);
}
