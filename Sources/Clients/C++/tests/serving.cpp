// Host functions: what they return and throw, completers, cancellation, and when they are destroyed.
#include "support.hpp"

using namespace tests;
using hostcall::CallOptions;
using hostcall::Completer;
using hostcall::Context;
using hostcall::Encoding;
using hostcall::Failure;
using hostcall::HandleOptions;
using hostcall::Mode;
using hostcall::Reply;
using hostcall::Request;
using hostcall::Status;

namespace {

/// What a caller gets instead of a reply.
hostcall::Error failure_of(Context& context, const char* name) {
  return error_of([&] { context.call_wait(name, "", CallOptions().timeout(generous)); });
}

std::string called(Context& context, const char* name, const char* payload = "") {
  return context.call_wait(name, payload, CallOptions().timeout(generous)).data();
}

}  // namespace

TEST_CASE("a host function may return text, bytes, a reply, or nothing") {
  Context context = Context::open();
  context.handle("string", [](Request&) { return std::string("a\0b", 3); });
  context.handle("literal", [](Request&) { return "text"; });
  context.handle("view", [](Request& request) { return request.data().substr(1); });
  context.handle("reply", [](Request&) { return Reply("{}", Encoding::json); });
  context.handle("nothing", [](Request&) {});
  CHECK(called(context, "string") == std::string("a\0b", 3));
  CHECK(called(context, "literal") == "text");
  CHECK(called(context, "view", "xyz") == "yz");
  CHECK(context.call_wait("reply").encoding() == Encoding::json);
  CHECK(called(context, "nothing").empty());
}

TEST_CASE("a function of a pattern knows the name that was called") {
  Context context = Context::open();
  context.handle("files.*", [](Request& request) { return request.name(); });
  CHECK(called(context, "files.read.all") == "files.read.all");
}

TEST_CASE("what a host function throws is its outcome") {
  Context context = Context::open();
  context.handle("failure", [](Request&) { throw Failure("no such user"); });
  context.handle("exception", [](Request&) -> std::string { throw std::runtime_error("the disk is full"); });
  context.handle("number", [](Request&) { throw 42; });
  context.handle("memory", [](Request&) { throw std::bad_alloc(); });

  CHECK(failure_of(context, "failure").status() == Status::failed);
  CHECK(failure_of(context, "failure").payload() == "no such user");
  const auto panic = failure_of(context, "exception");
  CHECK(panic.status() == Status::panic);
  CHECK(panic.origin() == hostcall::Origin::worker);
  CHECK(panic.payload() == "the disk is full");
  CHECK(failure_of(context, "number").status() == Status::panic);
  CHECK(failure_of(context, "memory").status() == Status::panic);
}

TEST_CASE("a result or failure that cannot be sent ends the call with PANIC, which says why") {
  Context context = Context::open();
  context.handle("status", [](Request&) { throw Failure(Status::worker_lost, "x"); });
  context.handle("metadata", [](Request&) { return Reply("x", Encoding::raw, {{"No Key", "x"}}); });
  context.handle("text", [](Request&) { return Reply("x", Encoding::raw, {{"key", "\xff"}}); });
  context.handle("zero", [](Request&) { return Reply("x", Encoding::raw, {{"key", std::string(1, '\0')}}); });
  context.handle("encoding", [](Request&) { return Reply("x", Encoding{77}); });
  for (const char* name : {"status", "metadata", "text", "zero", "encoding"}) {
    CAPTURE(name);
    const auto error = failure_of(context, name);
    CHECK(error.status() == Status::panic);
    CHECK_FALSE(error.payload().empty());
  }
  CHECK_THROWS_AS(Failure{Status::ok}, std::invalid_argument);
}

TEST_CASE("an error of a call inside ends the outer one with its text") {
  Context context = Context::open();
  context.handle("outer", [&](Request&) { return context.call_wait("nobody").data(); });
  const auto error = failure_of(context, "outer");
  CHECK(error.status() == Status::panic);
  CHECK(error.payload().find("nobody: NOT_FOUND") == 0);
}

TEST_CASE("a completer completes later, from any thread, in any order") {
  Channel<Completer> waiting;
  Context context = Context::open();
  context.handle("later", [&](Request&, Completer completer) { waiting.put(std::move(completer)); });
  auto first = context.call("later");
  Completer first_completer = waiting.take();
  auto second = context.call("later");
  Completer second_completer = waiting.take();
  std::thread([&] {
    CHECK(second_completer.complete("second") == Status::ok);
    CHECK(take(std::move(second)).data() == "second");
    CHECK(first_completer.fail(Failure(Status{130}, "first")) == Status::ok);
    CHECK(first_completer.complete() == Status::duplicate);
  }).join();
  const auto error = error_of([&] { take(std::move(first)); });
  CHECK(error.status() == Status{130});
  CHECK(error.payload() == "first");
}

TEST_CASE("a completer that is dropped fails its call, wherever that is") {
  Channel<Completer> kept;
  Context context = Context::open();
  context.handle("at-once", [](Request&, Completer) {});
  context.handle("elsewhere", [](Request&, Completer completer) {
    std::thread([dropped = std::move(completer)] {}).join();
  });
  context.handle("kept", [&](Request&, Completer completer) { kept.put(std::move(completer)); });
  for (const char* name : {"at-once", "elsewhere"}) {
    const auto error = failure_of(context, name);
    CHECK(error.status() == Status::failed);
    CHECK(error.payload().find("dropped") != std::string::npos);
  }
  auto first = context.call("kept");
  std::optional<Completer> completer = kept.take();
  auto second = context.call("kept");
  *completer = kept.take();
  CHECK(error_of([&] { take(std::move(first)); }).status() == Status::failed);
  completer.reset();
  CHECK(error_of([&] { take(std::move(second)); }).status() == Status::failed);
}

TEST_CASE("what a function with a completer throws is its outcome, unless it has completed") {
  Watched<std::string> told;
  Channel<Completer> kept;
  Context context = Context::open(hostcall::ContextOptions().on_uncaught([&](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      told.set(error.what());
    }
  }));
  context.handle("throws", [](Request&, Completer) { throw Failure(Status{140}, "why"); });
  context.handle("keeps", [&](Request&, Completer completer) {
    kept.put(std::move(completer));
    throw std::runtime_error("kept");
  });
  context.handle("completes", [](Request&, Completer completer) {
    completer.complete("done");
    throw std::runtime_error("after the end");
  });
  CHECK(failure_of(context, "throws").status() == Status{140});
  CHECK(failure_of(context, "keeps").payload() == "kept");
  CHECK(kept.take().complete() == Status::duplicate);
  CHECK(called(context, "completes") == "done");
  told.wait([](const std::string& text) { return text == "after the end"; });
}

TEST_CASE("a refused completion leaves the call open") {
  Context context = Context::open();
  context.handle("twice", [](Request&, Completer completer) {
    CHECK(error_of([&] { completer.complete(Reply("x", Encoding{77})); }).status() == Status::invalid_argument);
    CHECK(error_of([&] { completer.fail(Failure(Status::denied)); }).status() == Status::invalid_argument);
    CHECK(completer.complete("in the end") == Status::ok);
  });
  CHECK(called(context, "twice") == "in the end");
}

TEST_CASE("cancel hooks run once with why, at once where it is over, and not after they are gone") {
  Watched<std::vector<std::string>> ran;
  Gate began, ended;
  Context context = Context::open();
  context.handle("hold", [&](Request& request) {
    const auto note = [&ran](const char* text) {
      return [&ran, text] { ran.change([&](auto& all) { all.push_back(text); }); };
    };
    Watched<std::optional<Status>> why;
    const auto with_why = request.on_cancel([&](Status status) { why.set(status); });
    const auto first = request.on_cancel(note("first"));
    {
      const auto gone = request.on_cancel(note("gone"));
      auto replaced = request.on_cancel(note("replaced"));
      replaced = hostcall::CancelHook();
    }
    began.open();
    CHECK(request.wait_until_cancelled() == Status::cancelled);
    CHECK(request.cancelled());
    CHECK(why.wait([](const auto& known) { return known.has_value(); }) == Status::cancelled);
    ran.wait([](const auto& all) { return all.size() == 1; });
    const auto late = request.on_cancel(note("late"));
    ended.open();
  });
  auto pending = context.start("hold");
  began.wait();
  pending.cancel();
  ended.wait();
  context.close();
  CHECK(ran.get() == std::vector<std::string>{"first", "late"});
}

TEST_CASE("taking a hook back waits while it runs, but not inside of it") {
  Gate began, hook_runs, hook_goes_on;
  Watched<bool> has_run{false};
  Watched<int> ends;
  Context context = Context::open();
  context.handle("hold", [&](Request& request) {
    std::optional<hostcall::CancelHook> hook;
    hook = request.on_cancel([&] {
      hook_runs.open();
      hook_goes_on.wait();
      has_run.set(true);
    });
    // One that takes itself back.
    auto own = std::make_shared<hostcall::CancelHook>();
    *own = request.on_cancel([own, counted = Counted(ends)] { *own = hostcall::CancelHook(); });
    began.open();
    hook_runs.wait();
    std::thread opener([&] { hook_goes_on.open(); });
    hook.reset();
    CHECK(has_run.get());
    opener.join();
  });
  auto pending = context.start("hold");
  began.wait();
  pending.cancel();
  context.shutdown(generous);
  CHECK(ends.get() == 1);
}

TEST_CASE("a completer knows that nobody waits any more") {
  Channel<Completer> kept;
  Context context = Context::open();
  context.handle("hold", [&](Request&, Completer completer) { kept.put(std::move(completer)); });
  auto pending = context.start("hold");
  Completer completer = kept.take();
  CHECK_FALSE(completer.cancelled());
  pending.cancel();
  CHECK(error_of([&] { pending.get(); }).status() == Status::cancelled);
  CHECK(completer.wait_until_cancelled() == Status::cancelled);
  CHECK(completer.cancelled());
  CHECK(completer.complete("nobody gets this") == Status::late);
}

TEST_CASE("concurrency bounds the calls that run at once") {
  struct Running {
    int now = 0;
    int most = 0;
  };
  Watched<Running> running;
  Context context = Context::open();
  context.handle(
      "lane",
      [&](Request&) {
        running.change([](Running& all) { all.most = std::max(all.most, ++all.now); });
        running.change([](Running& all) { --all.now; });
      },
      HandleOptions().concurrency(2));
  std::vector<std::future<Reply>> calls;
  for (int index = 0; index < 50; ++index) calls.push_back(context.call("lane"));
  for (auto& call : calls) take(std::move(call));
  CHECK(running.get().most <= 2);
}

TEST_CASE("a name that is taken is refused, and the new function destroyed; replacing takes its place") {
  Watched<int> old_ends, refused_ends, new_ends;
  Context context = Context::open();
  context.handle("name", [counted = Counted(old_ends)](Request&) { return "old"; });
  const auto error = error_of(
      [&] { context.handle("name", [counted = Counted(refused_ends)](Request&) { return "refused"; }); });
  CHECK(error.status() == Status::already_registered);
  CHECK(refused_ends.get() == 1);
  CHECK(called(context, "name") == "old");
  context.handle("name", [counted = Counted(new_ends)](Request&) { return "new"; },
                 HandleOptions().mode(Mode::replace));
  CHECK(called(context, "name") == "new");
  old_ends.wait([](int count) { return count == 1; });
  CHECK(new_ends.get() == 0);
  context.close();
  CHECK(old_ends.get() == 1);
  CHECK(new_ends.get() == 1);
}

TEST_CASE("a function that is replaced or unregistered while it runs is destroyed after its last call") {
  for (const bool replaces : {true, false}) {
    CAPTURE(replaces);
    Watched<int> ends;
    Gate began, goes_on;
    Context context = Context::open();
    context.handle("name", [&, counted = Counted(ends)](Request&) {
      began.open();
      goes_on.wait();
      return "old";
    });
    auto running = context.call("name");
    began.wait();
    if (replaces) {
      context.handle("name", [](Request&) { return "new"; }, HandleOptions().mode(Mode::replace));
      CHECK(called(context, "name") == "new");
    } else {
      context.unregister("name");
      CHECK(error_of([&] { context.unregister("name"); }).status() == Status::not_found);
      context.ping();
      CHECK(failure_of(context, "name").status() == Status::not_found);
    }
    CHECK(ends.get() == 0);
    goes_on.open();
    CHECK(take(std::move(running)).data() == "old");
    ends.wait([](int count) { return count == 1; });
    context.close();
    CHECK(ends.get() == 1);
  }
}

TEST_CASE("closing waits for functions that run, tells them, and destroys them once") {
  Watched<int> ends;
  Gate began;
  Context context = Context::open();
  context.handle("hold", [&, counted = Counted(ends)](Request& request) {
    began.open();
    request.wait_until_cancelled();
    CHECK(ends.get() == 0);
  });
  const auto left_alone = context.call("hold");
  began.wait();
  context.close();
  CHECK(ends.get() == 1);
}

TEST_CASE("a function may close its own context, and completers may outlive it") {
  Watched<int> ends;
  Channel<Completer> kept;
  Gate closed;
  std::optional<Completer> completer;
  {
    Context context = Context::open();
    context.handle("keep", [&](Request&, Completer given) { kept.put(std::move(given)); });
    const auto left_alone = context.call("keep");
    completer = kept.take();
    context.handle("close", [&, counted = Counted(ends)](Request&) {
      context.close();
      closed.open();
    });
    const auto left_too = context.call("close");
    closed.wait();
  }
  ends.wait([](int count) { return count == 1; });
  CHECK(completer->cancelled());
  CHECK(completer->complete("too late") == Status::closed);
}

TEST_CASE("shutting down lets calls end, and says where it was cut short") {
  Gate began, goes_on;
  Context context = Context::open();
  context.handle("slow", [&](Request&) {
    began.open();
    goes_on.wait();
    return "done";
  });
  auto running = context.call("slow");
  began.wait();
  std::thread opener([&] { goes_on.open(); });
  CHECK(context.shutdown(generous));
  opener.join();

  Gate began_again;
  Context other = Context::open();
  other.handle("hold", [&](Request& request) {
    began_again.open();
    request.wait_until_cancelled();
  });
  const auto left_alone = other.call("hold");
  began_again.wait();
  CHECK_FALSE(other.shutdown(10ms));
}

TEST_CASE("many calls from many threads are each answered once") {
  Context context = Context::open();
  context.handle("echo", [](Request& request) { return request.data(); });
  context.handle("later", [](Request& request, Completer completer) {
    std::thread([text = std::string(request.data()), completer = std::move(completer)]() mutable {
      completer.complete(std::move(text));
    }).detach();
  });
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int index = 0; index < 50; ++index) {
        const std::string text = std::to_string(thread * 1'000 + index);
        if (context.call("echo", text).get().data() == text) ++answered;
        if (context.call_wait("later", text).data() == text) ++answered;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(answered == 400);
}
