// Streams: items both ways, windows, cancellation, and ends.
#include "support.hpp"

using namespace tests;
using hostcall::CallOptions;
using hostcall::Context;
using hostcall::Encoding;
using hostcall::HandleOptions;
using hostcall::Item;
using hostcall::Request;
using hostcall::Status;
using hostcall::Stream;
using hostcall::StreamOptions;

namespace {

constexpr int many_items = 2'000;

StreamOptions with_arguments() { return StreamOptions().timeout(generous).arguments(); }

/// Serves the numbers up to the payload's, without end where it has none.
void serve_numbers(Context& context, std::atomic<int>& sent) {
  context.handle("numbers", [&sent](Request& request) {
    const int end = request.data().empty() ? -1 : std::stoi(std::string(request.data()));
    for (int number = 0; number != end; ++number) {
      request.send(std::to_string(number));
      ++sent;
    }
    return "all sent";
  });
}

void send_without_end(const Request& request, std::atomic<int>& sent) {
  while (true) {
    request.send("item");
    ++sent;
  }
}

void serve_sum(Context& context) {
  context.handle("sum", [](Request& request) {
    CHECK(request.has_arguments());
    long sum = 0;
    while (const auto item = request.next_argument()) sum += std::stol(item->data);
    return std::to_string(sum);
  });
}

}  // namespace

TEST_CASE("result items come in order, and then the result") {
  std::atomic<int> sent{0};
  Context context = Context::open();
  serve_numbers(context, sent);
  for (const std::uint32_t window : {1U, 2U, 32U, 500U}) {
    CAPTURE(window);
    Stream stream = context.stream("numbers", std::to_string(many_items), StreamOptions().window(window));
    int expected = 0;
    for (const Item& item : stream) {
      if (item.data != std::to_string(expected)) FAIL("out of order: " << item.data);
      ++expected;
    }
    CHECK(expected == many_items);
    CHECK(stream.result().data() == "all sent");
    CHECK_FALSE(stream.next());
  }
}

TEST_CASE("items have an encoding, and may be empty") {
  Context context = Context::open();
  context.handle("items", [](Request& request) {
    CHECK(request.takes_items());
    request.send("{}", Encoding::json);
    request.send("");
  });
  Stream stream = context.stream("items");
  const auto first = stream.next();
  CHECK(first->data == "{}");
  CHECK(first->encoding == Encoding::json);
  CHECK(stream.next()->data.empty());
  CHECK_FALSE(stream.next());
}

TEST_CASE("a reader that takes nothing is sent its window, and no more") {
  std::atomic<int> sent{0};
  Watched<std::optional<Status>> why;
  Context context = Context::open();
  context.handle("numbers", [&](Request& request) {
    CHECK_THROWS_AS(send_without_end(request, sent), hostcall::Error);
    why.set(request.wait_until_cancelled());
  });
  {
    Stream stream = context.stream("numbers", "", StreamOptions().window(8));
    for (int taken = 0; taken < 3; ++taken) CHECK(stream.next());
    CHECK_FALSE(why.get());
  }
  // Leaving the stream has cancelled its call.
  CHECK(why.wait([](const auto& known) { return known.has_value(); }) == Status::cancelled);
  context.close();
  CHECK(sent >= 3);
  CHECK(sent <= 3 + 8);
}

TEST_CASE("the result is waited for without taking the items") {
  std::atomic<int> sent{0};
  Context context = Context::open();
  serve_numbers(context, sent);
  CHECK(context.stream("numbers", std::to_string(many_items)).result().data() == "all sent");
  CHECK(sent == many_items);
}

TEST_CASE("items that came before an error are taken before it") {
  Context context = Context::open();
  context.handle("items", [](Request& request) {
    request.send("one");
    throw hostcall::Failure("and no more");
  });
  Stream stream = context.stream("items");
  CHECK(stream.next()->data == "one");
  for (int again = 0; again < 2; ++again) {
    CHECK(error_of([&] { stream.next(); }).payload() == "and no more");
    CHECK(error_of([&] { stream.result(); }).status() == Status::failed);
  }
}

TEST_CASE("a stream that cannot begin throws; one that nobody serves ends with that") {
  Context context = Context::open();
  CHECK(error_of([&] { context.stream("not a name"); }).status() == Status::invalid_argument);
  Stream stream = context.stream("nobody");
  CHECK(error_of([&] { stream.next(); }).status() == Status::not_found);
}

TEST_CASE("arguments reach their host function in order") {
  Context context = Context::open();
  serve_sum(context);
  context.handle("narrow", [](Request& request) {
    std::string all;
    while (const auto item = request.next_argument()) {
      CHECK(item->encoding == Encoding::cbor);
      all += item->data;
    }
    CHECK_FALSE(request.next_argument());
    return all;
  }, HandleOptions().window(1));

  Stream sum = context.stream("sum", "", with_arguments().window(0));
  long expected = 0;
  for (int number = 0; number < many_items; ++number) {
    CHECK(sum.send(std::to_string(number)));
    expected += number;
  }
  CHECK(sum.send_end());
  CHECK(sum.result().data() == std::to_string(expected));

  Stream narrow = context.stream("narrow", "", with_arguments());
  for (const char* text : {"a", "", "b", "c"}) CHECK(narrow.send(text, Encoding::cbor));
  narrow.send_end();
  CHECK(narrow.result().data() == "abc");
}

TEST_CASE("no arguments at all, and a call without any") {
  Context context = Context::open();
  serve_sum(context);
  context.handle("plain", [](Request& request) {
    CHECK_FALSE(request.has_arguments());
    CHECK_FALSE(request.next_argument());
  });
  // Many times: the end may come before its host function has begun.
  for (int round = 0; round < 200; ++round) {
    Stream sum = context.stream("sum", "", with_arguments());
    CHECK(sum.send_end());
    CHECK(sum.result().data() == "0");
  }
  context.call_wait("plain");
}

TEST_CASE("items both ways at once") {
  Context context = Context::open();
  context.handle("twice", [](Request& request) {
    while (const auto item = request.next_argument()) request.send(item->data + item->data);
  });
  Stream stream = context.stream("twice", "", with_arguments().window(4));
  std::thread writer([&] {
    for (int number = 0; number < many_items; ++number) CHECK(stream.send(std::to_string(number)));
    stream.send_end();
  });
  int expected = 0;
  for (const Item& item : stream) {
    const std::string text = std::to_string(expected++);
    if (item.data != text + text) FAIL("out of order: " << item.data);
  }
  writer.join();
  CHECK(expected == many_items);
}

TEST_CASE("a completer streams from another thread") {
  std::vector<std::thread> threads;
  Context context = Context::open();
  context.handle("later", [&](Request&, hostcall::Completer completer) {
    threads.emplace_back([completer = std::move(completer)]() mutable {
      while (const auto item = completer.next_argument()) completer.send(item->data);
      completer.complete("end");
    });
  });
  Stream stream = context.stream("later", "", with_arguments());
  stream.send("one");
  CHECK(stream.next()->data == "one");
  stream.send_end();
  CHECK(stream.result().data() == "end");
  for (auto& thread : threads) thread.join();
}

TEST_CASE("sending ends with the call: false for the caller, an error for the host function") {
  Watched<std::optional<Status>> send_status;
  Context context = Context::open();
  context.handle("early", [](Request&) { return "enough"; });
  Stream early = context.stream("early", "", with_arguments());
  CHECK(early.result().data() == "enough");
  CHECK_FALSE(early.send("too late"));
  CHECK_FALSE(early.send_end());
  CHECK_FALSE(early.cancel());

  context.handle("endless", [&](Request& request) {
    std::atomic<int> sent{0};
    send_status.set(error_of([&] { send_without_end(request, sent); }).status());
  });
  Stream endless = context.stream("endless", "", StreamOptions().window(2));
  CHECK(endless.next());
  CHECK(endless.cancel());
  CHECK(error_of([&] { endless.result(); }).status() == Status::cancelled);
  CHECK(send_status.wait([](const auto& known) { return known.has_value(); }) == Status::late);
}

TEST_CASE("waiting for arguments ends with the call, and with the context") {
  Watched<std::vector<Status>> ends;
  Watched<int> begun{0};
  Context context = Context::open();
  context.handle("wait", [&](Request& request) {
    begun.change([](int& count) { ++count; });
    const auto error = error_of([&] { request.next_argument(); });
    ends.change([&](auto& all) { all.push_back(error.status()); });
  });
  Stream cancelled = context.stream("wait", "", with_arguments());
  begun.wait([](int count) { return count == 1; });
  cancelled.cancel();
  ends.wait([](const auto& all) { return all.size() == 1; });

  const Stream left_alone = context.stream("wait", "", with_arguments());
  begun.wait([](int count) { return count == 2; });
  context.close();
  CHECK(ends.get() == std::vector<Status>{Status::late, Status::late});
}

TEST_CASE("waiting for arguments ends where no thread is left to tell of it") {
  Watched<int> begun{0};
  Watched<int> ended{0};
  Context context = Context::open(hostcall::ContextOptions().thread_limit(2));
  context.handle("wait", [&](Request& request) {
    begun.change([](int& count) { ++count; });
    CHECK_THROWS_AS(request.next_argument(), hostcall::Error);
    ended.change([](int& count) { ++count; });
  });
  std::vector<Stream> streams;
  for (int index = 0; index < 2; ++index) streams.push_back(context.stream("wait", "", with_arguments()));
  begun.wait([](int count) { return count == 2; });
  streams.clear();
  ended.wait([](int count) { return count == 2; });
}

TEST_CASE("items are refused where nobody takes them") {
  Context context = Context::open();
  context.handle("send", [](Request& request) {
    CHECK_FALSE(request.takes_items());
    request.send("x");
  });
  const auto error = error_of([&] { context.call_wait("send"); });
  CHECK(error.status() == Status::panic);
  Stream stream = context.stream("send");
  CHECK(error_of([&] { stream.send("x"); }).status() == Status::invalid_argument);
}

TEST_CASE("a stream that is assigned another one cancels its own") {
  Watched<int> cancelled{0};
  Context context = Context::open();
  context.handle("hold", [&](Request& request) {
    request.send("begun");
    request.wait_until_cancelled();
    cancelled.change([](int& count) { ++count; });
  });
  Stream stream = context.stream("hold");
  stream.next();
  stream = context.stream("hold");
  cancelled.wait([](int count) { return count == 1; });
  CHECK(stream.next()->data == "begun");
  stream.handle().cancel();
  CHECK(error_of([&] { stream.result(); }).status() == Status::cancelled);
}

TEST_CASE("closing the context ends a stream") {
  Context context = Context::open();
  context.handle("hold", [](Request& request) { request.wait_until_cancelled(); });
  Stream stream = context.stream("hold");
  std::thread closer([&] { context.close(); });
  CHECK(error_of([&] { stream.next(); }).status() == Status::closed);
  closer.join();
}
