// Programs on both sides of a real daemon, and what becomes of them when it goes.
#include "support.hpp"

using namespace tests;
using hostcall::CallOptions;
using hostcall::Context;
using hostcall::ContextOptions;
using hostcall::Event;
using hostcall::HandleOptions;
using hostcall::Item;
using hostcall::Origin;
using hostcall::Request;
using hostcall::Status;

TEST_CASE("daemon: calls, streams and events between two programs") {
  Channel<std::string> came;
  const Daemon daemon;
  Context worker = daemon.connect("worker/1.0");
  Context caller = daemon.connect("caller/1.0");
  worker.handle("echo", [](Request& request) { return request.data(); });
  worker.handle("letters", [](Request& request) {
    for (const char letter : request.data()) request.send(std::string(1, letter));
  });
  CHECK(caller.call("echo", "hello").get().data() == "hello");
  std::string letters;
  for (const Item& item : caller.stream("letters", "abc")) letters += item.data;
  CHECK(letters == "abc");
  const auto subscription = caller.subscribe("door.*", [&](const Event& event) { came.put(event.name); });
  CHECK(worker.publish("door.opened") == 1);
  CHECK(came.take() == "door.opened");
  CHECK(caller.call_wait("hostcall.peers").data().find("worker/1.0") != std::string::npos);
}

TEST_CASE("daemon: a caller that goes cancels what it has asked for") {
  Channel<Status> why;
  Gate began;
  const Daemon daemon;
  Context worker = daemon.connect();
  worker.handle("hold", [&](Request& request) {
    began.open();
    why.put(request.wait_until_cancelled());
  });
  {
    Context caller = daemon.connect();
    const auto left_alone = caller.call("hold");
    began.wait();
  }
  CHECK(why.take() == Status::caller_lost);
}

TEST_CASE("daemon: who calls is told where a function asks for it, and exclusive names stay so") {
  const Daemon daemon;
  Context worker = daemon.connect();
  Context other = daemon.connect();
  worker.handle("whoami", [](Request& request) { return request.metadata().at("hostcall-caller-uid"); },
                HandleOptions().caller_identity().mode(hostcall::Mode::exclusive));
  CHECK_FALSE(other.call_wait("whoami").data().empty());
  CHECK(error_of([&] { other.handle("whoami", [](Request&) {}); }).status() == Status::already_registered);
}

TEST_CASE("daemon: functions and subscriptions come back after it was lost") {
  Channel<Event> came;
  Channel<Status> why;
  Gate began;
  Daemon daemon;
  Context worker = daemon.connect();
  worker.handle("echo", [](Request& request) { return request.data(); });
  worker.handle("hold", [&](Request& request) {
    began.open();
    why.put(request.wait_until_cancelled());
  });
  const auto subscription = worker.subscribe("tick", [&](Event event) { came.put(std::move(event)); });
  Context caller = daemon.connect();
  auto pending = caller.start("hold", "", CallOptions().timeout(generous));
  began.wait();
  daemon.restart();
  CHECK(error_of([&] { pending.get(); }).status() == Status::connection_lost);
  CHECK(why.take() == Status::worker_lost);
  CHECK(caller.call_wait("echo", "again", CallOptions().wait_for_worker().timeout(generous)).data() == "again");
  // Nobody tells when it is subscribed again.
  while (caller.publish("tick", "again") == 0) std::this_thread::yield();
  const Event event = came.take();
  CHECK(event.data == "again");
  CHECK(event.follows_gap);
}

TEST_CASE("daemon: a context that does not reconnect is over with its connection") {
  Daemon daemon;
  Context caller = Context::connect(ContextOptions().socket_path(daemon.socket_path()).reconnects(false));
  caller.ping();
  daemon.restart();
  CHECK_THROWS_AS(caller.ping(), hostcall::Error);
  CHECK_THROWS_AS(caller.call_wait("hostcall.echo"), hostcall::Error);
}

TEST_CASE("daemon: a socket where nobody listens is told with what to do") {
  const Folder folder;
  const auto error = error_of([&] {
    Context::connect(ContextOptions().socket_path(folder.socket_path()).connect_timeout(generous));
  });
  CHECK(error.status() == Status::cannot_connect);
  CHECK(error.origin() == Origin::library);
  CHECK(std::string(error.what()).find(folder.socket_path()) != std::string::npos);
}

TEST_CASE("daemon: others may connect to a bridge of one's own") {
  const Folder folder;
  Context bridge = Context::open(ContextOptions().socket_path(folder.socket_path()));
  bridge.handle("echo", [](Request& request) { return request.data(); });
  Context caller = Context::connect(ContextOptions().socket_path(folder.socket_path()));
  CHECK(caller.call_wait("echo", "through the socket").data() == "through the socket");
}
