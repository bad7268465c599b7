// Calls: futures, callbacks, waiting, cancellation, deadlines, options and errors.
#include "support.hpp"

using namespace tests;
using hostcall::CallOptions;
using hostcall::Context;
using hostcall::Encoding;
using hostcall::Metadata;
using hostcall::Origin;
using hostcall::Outcome;
using hostcall::Reply;
using hostcall::Request;
using hostcall::Status;

namespace {

/// Serves a function that waits until its call is over, and says when it began.
void serve_hold(Context& context, Gate& began) {
  context.handle("hold", [&began](Request& request) {
    began.open();
    request.wait_until_cancelled();
  });
}

}  // namespace

TEST_CASE("a future brings the reply") {
  Context context = Context::open();
  context.handle("echo", [](Request& request) { return std::string(request.data()); });
  const Reply reply = take(context.call("echo", "hello"));
  CHECK(reply.data() == "hello");
  CHECK(reply.correlation_id() != 0);
}

TEST_CASE("encoding, metadata and every byte travel both ways") {
  Context context = Context::open();
  context.handle("whole", [](Request& request) {
    CHECK(request.encoding() == Encoding::json);
    return Reply(std::string(request.data()), Encoding{200}, {{"answer", request.metadata().at("question")}});
  });
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const Reply reply = context.call_wait(
      "whole", all, CallOptions().encoding(Encoding::json).metadata({{"question", "warum äöü"}}));
  CHECK(reply.data() == all);
  CHECK(reply.encoding() == Encoding{200});
  CHECK(reply.metadata() == Metadata{{"answer", "warum äöü"}});
}

TEST_CASE("an empty payload is empty on both sides") {
  Context context = Context::open();
  context.handle("empty", [](Request& request) { CHECK(request.data().empty()); });
  CHECK(context.call_wait("empty").data().empty());
}

TEST_CASE("a future that is left alone neither blocks nor cancels") {
  Gate began, goes_on, ended;
  Context context = Context::open();
  context.handle("slow", [&](Request& request) {
    began.open();
    goes_on.wait();
    CHECK_FALSE(request.cancelled());
    ended.open();
  });
  { const auto left_alone = context.call("slow"); }
  began.wait();
  goes_on.open();
  ended.wait();
}

TEST_CASE("a callback gets the outcome once") {
  Watched<std::vector<std::string>> outcomes;
  Context context = Context::open();
  context.handle("echo", [](Request& request) { return request.data(); });
  context.call("echo", "hello", {}, [&](Outcome outcome) {
    outcomes.change([&](auto& all) { all.push_back(std::move(outcome).get().data()); });
  });
  context.call("nobody", "", {}, [&](const Outcome& outcome) {
    CHECK_FALSE(outcome);
    CHECK_THROWS_AS(outcome.get(), hostcall::Error);
    outcomes.change([&](auto& all) { all.push_back(hostcall::to_string(outcome.error()->status())); });
  });
  auto all = outcomes.wait([](const auto& present) { return present.size() == 2; });
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector<std::string>{"NOT_FOUND", "hello"});
}

TEST_CASE("a callback may own what cannot be copied, and is destroyed once") {
  Watched<int> ends;
  Gate called;
  Context context = Context::open();
  context.handle("echo", [](Request& request) { return request.data(); });
  context.call("echo", "", {}, [owned = std::make_unique<int>(1), counted = Counted(ends), &called](const Outcome&) {
    called.open();
  });
  called.wait();
  ends.wait([](int count) { return count == 1; });
  context.close();
  CHECK(ends.get() == 1);
}

TEST_CASE("a call that cannot begin throws, never runs its callback, and destroys it") {
  Watched<int> ends;
  bool has_run = false;
  Context context = Context::open();
  const auto error = error_of([&] {
    context.call("not a name", "", {}, [counted = Counted(ends), &has_run](const Outcome&) { has_run = true; });
  });
  CHECK(error.status() == Status::invalid_argument);
  CHECK(std::string(error.what()).find("not a name") != std::string::npos);
  CHECK(ends.get() == 1);
  context.close();
  CHECK_FALSE(has_run);
  CHECK(error_of([&] { context.call("echo"); }).status() == Status::closed);
  CHECK(error_of([&] { context.call("echo", "", {}, [](const Outcome&) {}); }).status() == Status::closed);
}

TEST_CASE("what a callback throws is told, and harms nothing") {
  Watched<std::string> told;
  Context context = Context::open(hostcall::ContextOptions().on_uncaught([&](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      told.set(error.what());
    }
    throw std::runtime_error("this goes to standard error");
  }));
  context.handle("echo", [](Request& request) { return request.data(); });
  context.call("echo", "", {}, [](const Outcome&) { throw std::logic_error("went wrong"); });
  told.wait([](const std::string& text) { return text == "went wrong"; });
  CHECK(context.call_wait("echo", "still here").data() == "still here");
}

TEST_CASE("errors say who found them, which call it was, and what happened") {
  Context context = Context::open();
  const auto unknown = error_of([&] { context.call_wait("nobody.has-this"); });
  CHECK(unknown.status() == Status::not_found);
  CHECK(unknown.origin() == Origin::daemon);
  CHECK(std::string(unknown.what()).find("nobody.has-this: NOT_FOUND from the daemon") == 0);

  context.handle("fail", [](Request&) {
    throw hostcall::Failure(Status{200}, "\x01why", Encoding::cbor, {{"more", "detail"}});
  });
  for (const bool waits : {true, false}) {
    const auto failed = error_of([&] { waits ? context.call_wait("fail") : take(context.call("fail")); });
    CHECK(failed.status() == Status{200});
    CHECK(failed.origin() == Origin::worker);
    CHECK(failed.payload() == "\x01why");
    CHECK(failed.encoding() == Encoding::cbor);
    CHECK(failed.metadata() == Metadata{{"more", "detail"}});
    CHECK(failed.correlation_id() != 0);
  }
}

TEST_CASE("a deadline ends the call, and tells the host function") {
  Watched<std::optional<Status>> why;
  Context context = Context::open();
  context.handle("hold", [&](Request& request) { why.set(request.wait_until_cancelled()); });
  const auto error = error_of([&] { context.call_wait("hold", "", CallOptions().timeout(30ms)); });
  CHECK(error.status() == Status::timeout);
  CHECK(std::string(error.what()).find("hold: TIMEOUT from the daemon") == 0);
  CHECK(why.wait([](const auto& known) { return known.has_value(); }) == Status::timeout);
}

TEST_CASE("a timeout of nothing is nearly none, and not the default") {
  Gate began;
  Context context = Context::open();
  serve_hold(context, began);
  CHECK(error_of([&] { context.call_wait("hold", "", CallOptions().timeout(0ms)); }).status() == Status::timeout);
  CHECK(error_of([&] { context.call_wait("hold", "", CallOptions().timeout(-5s)); }).status() == Status::timeout);
}

TEST_CASE("cancelling a pending call ends it for both") {
  Gate began;
  Watched<std::optional<Status>> why;
  Context context = Context::open();
  context.handle("hold", [&](Request& request) {
    began.open();
    why.set(request.wait_until_cancelled());
  });
  auto pending = context.start("hold");
  began.wait();
  CHECK_FALSE(pending.wait_for(0ms));
  CHECK(pending.cancel());
  CHECK(pending.wait_for(generous));
  CHECK(error_of([&] { pending.get(); }).status() == Status::cancelled);
  CHECK(why.wait([](const auto& known) { return known.has_value(); }) == Status::cancelled);
  CHECK_FALSE(pending.cancel());
}

TEST_CASE("a handle cancels from elsewhere, beside the future or the callback") {
  Watched<std::optional<Status>> status;
  Gate began;
  Context context = Context::open();
  serve_hold(context, began);
  auto pending = context.start("hold");
  auto future = pending.future();
  began.wait();
  std::thread([handle = pending.handle()] { CHECK(handle.cancel()); }).join();
  CHECK(error_of([&] { take(std::move(future)); }).status() == Status::cancelled);

  const auto handle = context.call("hold", "", {}, [&](const Outcome& outcome) { status.set(outcome.status()); });
  CHECK(handle.cancel());
  CHECK(status.wait([](const auto& known) { return known.has_value(); }) == Status::cancelled);
}

TEST_CASE("a call may wait for its worker") {
  Context context = Context::open();
  auto pending = context.start("later", "x", CallOptions().wait_for_worker());
  context.ping();
  context.handle("later", [](Request& request) { return request.data(); });
  CHECK(pending.get().data() == "x");
}

TEST_CASE("a call without reply is made") {
  Watched<std::string> came;
  Context context = Context::open();
  context.handle("note", [&](Request& request) { came.set(std::string(request.data())); });
  context.send("note", "written down");
  came.wait([](const std::string& text) { return text == "written down"; });
}

TEST_CASE("calls inside of calls have no more time than is left") {
  Context context = Context::open();
  context.handle("inner", [](Request& request) { return std::to_string(request.time_left().count()); });
  context.handle("outer", [&](Request&) {
    return context.call_wait("inner", "", CallOptions().timeout(10min)).data();
  });
  context.handle("elsewhere", [&](Request& request) {
    std::string left;
    std::thread([&] {
      left = context.call_wait("inner", "", CallOptions().timeout(10min).inside(request)).data();
    }).join();
    return left;
  });
  for (const char* name : {"outer", "elsewhere"}) {
    const int left = std::stoi(context.call_wait(name, "", CallOptions().timeout(5s)).data());
    CHECK(left > 0);
    CHECK(left <= 5'000);
  }
}

TEST_CASE("closing ends what is under way, and a closed context says so") {
  Gate began;
  Context context = Context::open();
  serve_hold(context, began);
  auto pending = context.start("hold");
  began.wait();
  context.close();
  CHECK(error_of([&] { pending.get(); }).status() == Status::closed);
  CHECK(error_of([&] { context.ping(); }).status() == Status::closed);
  context.close();
}

TEST_CASE("text with a byte that is 0 is refused, and not cut") {
  Context context = Context::open();
  using namespace std::string_view_literals;
  CHECK(error_of([&] { context.call("a\0b"sv); }).status() == Status::invalid_argument);
  CHECK(error_of([&] { context.call("a", "", CallOptions().metadata({{"key", std::string("x\0y", 3)}})); }).status() ==
        Status::invalid_argument);
  CHECK(error_of([&] { context.call("a", "", CallOptions().metadata({{"No Key", "x"}})); }).status() ==
        Status::invalid_argument);
}

TEST_CASE("a context that was moved is the same one") {
  Context first = Context::open();
  first.handle("echo", [](Request& request) { return request.data(); });
  Context second = std::move(first);
  CHECK(second.call_wait("echo", "x").data() == "x");
  CHECK(error_of([&] { first.ping(); }).status() == Status::closed);
  second = Context::open();
  CHECK(error_of([&] { second.call_wait("echo"); }).status() == Status::not_found);
}
