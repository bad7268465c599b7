// Does with hostcall.hpp what the driver of the conformance test says (Tests/Conformance/Agents.md).
// Usage: agent SOCKET

#include "ongoing.hpp"

#include <cstdio>
#include <iostream>

namespace {

using hostcall::Context;

constexpr int misunderstood_status = 64;

/// Things that wait, each on a thread of its own.
class Tasks {
 public:
  /// Runs something that ends with one report, or with an error.
  void run(const std::string& tag, std::function<Report()> body) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::thread([this, tag, body = std::move(body)] {
      try {
        body().print();
      } catch (const hostcall::Error& error) {
        Report::error(tag, error).print();
      }
      const std::lock_guard<std::mutex> end(mutex_);
      --running_;
      changed_.notify_all();
    }).detach();
    ++running_;
  }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int running_ = 0;
};

/// What the driver has made of this program: one context, and what it does, by the driver's tags.
class Agent {
 public:
  explicit Agent(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  /// Begins what a command says.
  void obey(const Command& command) {
    const std::string& word = command.word();
    if (word == "connect") return connect(command);
    if (word == "ping") return ping(command);
    if (word == "close" || word == "shutdown") return leave(command);
    if (word == "call") return call(command);
    if (word == "take") return take(command);
    if (word == "send") return send(command);
    if (word == "end") return find(streams_, command).end();
    if (word == "cancel") return cancel(command);
    if (word == "register") return serve(command);
    if (word == "complete") {
      return invocation(command.tag())
          ->complete(command.status(), {command.payload(), command.encoding(), command.metadata()});
    }
    if (word == "raise") return invocation(command.tag())->raise(command.payload("message"));
    if (word == "unregister") return unregister(command);
    if (word == "subscribe") return subscribe(command);
    if (word == "unsubscribe") return unsubscribe(command);
    if (word == "publish") return publish(command);
    if (word == "bench") return bench(command);
    throw Misunderstanding(word + " is no command");
  }

  /// Closes everything: the driver has said all it had to.
  void end() {
    if (const auto context = current()) close(*context);
    tasks_.wait();
  }

 private:
  // Connecting and leaving

  void connect(const Command& command) {
    tasks_.run(command.tag(), [this, tag = command.tag()] {
      auto context = std::make_shared<Context>(Context::connect(
          hostcall::ContextOptions().socket_path(socket_path_).client_name("hostcall-conformance-agent/1")));
      const std::lock_guard<std::mutex> lock(mutex_);
      context_ = std::move(context);
      return Report::done(tag);
    });
  }

  std::shared_ptr<Context> current() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return context_;
  }

  std::shared_ptr<Context> context() {
    if (auto context = current()) return context;
    throw Misunderstanding("not connected");
  }

  void ping(const Command& command) {
    tasks_.run(command.tag(), [context = context(), tag = command.tag()] {
      context->ping();
      return Report::done(tag);
    });
  }

  void leave(const Command& command) {
    tasks_.run(command.tag(), [this, context = context(), command] {
      if (command.word() == "shutdown") {
        context->shutdown(std::chrono::hours(1));
      } else {
        close(*context);
      }
      return Report::done(command.tag());
    });
  }

  /// Closing waits for callbacks, and these wait for the driver: handlers are let go of once nobody hears what they
  /// say.
  void close(Context& context) {
    std::vector<std::shared_ptr<Invocation>> over;
    std::map<std::string, std::shared_ptr<Consumer>> consumers;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_closing_ = true;
      for (const auto& [tag, invocation] : invocations_) {
        if (invocation->call().cancelled()) over.push_back(invocation);
      }
      consumers = consumers_;
    }
    for (const auto& [tag, one] : consumers) one->end();
    for (const auto& invocation : over) invocation->abandon();
    context.close();
  }

  // Calling

  template <class Options>
  Options call_options(const Command& command) {
    Options options;
    options.encoding(command.encoding()).metadata(command.metadata());
    options.wait_for_worker(command.says("wait")).idempotent(command.says("idempotent"));
    if (const auto timeout = command.milliseconds("timeout")) options.timeout(*timeout);
    if (const auto inside = command.text("inside")) options.inside(invocation(*inside)->call());
    return options;
  }

  void call(const Command& command) {
    const auto context = this->context();
    const std::string& tag = command.tag();
    const std::string name = command.needed("name");
    const auto window = command.number("window");
    try {
      if (command.says("no-reply")) {
        context->send(name, command.payload(), call_options<hostcall::CallOptions>(command));
        Report::done(tag).print();
      } else if (window || command.says("arguments")) {
        auto options = call_options<hostcall::StreamOptions>(command);
        options.window(window.value_or(0)).arguments(command.says("arguments"));
        auto stream = context->stream(name, command.payload(), options);
        streams_[tag] = std::make_shared<StreamedCall>(tag, std::move(stream), window.has_value());
      } else {
        calls_[tag] = context->call(name, command.payload(), call_options<hostcall::CallOptions>(command),
                                    [tag](const hostcall::Outcome& outcome) {
                                      if (outcome) {
                                        Report::result(tag, outcome.get()).print();
                                      } else {
                                        Report::error(tag, *outcome.error()).print();
                                      }
                                    });
      }
    } catch (const hostcall::Error& error) {
      Report::error(tag, error).print();
    }
  }

  void cancel(const Command& command) {
    if (const auto stream = streams_.find(command.tag()); stream != streams_.end()) return stream->second->cancel();
    calls_[command.tag()].cancel();
  }

  /// Items of a call, arguments of an invocation, or events that were held.
  void take(const Command& command) {
    const std::uint32_t count = command.needed_number("count");
    if (const auto stream = streams_.find(command.tag()); stream != streams_.end()) return stream->second->take(count);
    if (const auto held = consumer(command.tag())) return held->take(count);
    invocation(command.tag())->take(count);
  }

  /// An argument of a call, or a result item of an invocation.
  void send(const Command& command) {
    if (const auto stream = streams_.find(command.tag()); stream != streams_.end()) {
      return stream->second->send(command.payload(), command.encoding());
    }
    invocation(command.tag())->send(command.payload(), command.encoding());
  }

  StreamedCall& find(const std::map<std::string, std::shared_ptr<StreamedCall>>& streams, const Command& command) {
    const auto found = streams.find(command.tag());
    if (found == streams.end()) throw Misunderstanding("no call with items " + command.tag());
    return *found->second;
  }

  // Serving

  void serve(const Command& command) {
    const std::string& tag = command.tag();
    const std::string name = command.needed("name");
    const std::string mode = command.text("mode").value_or("shared");
    hostcall::HandleOptions options;
    options.concurrency(command.number("concurrency").value_or(0));
    options.idempotent(command.says("idempotent")).caller_identity(command.says("caller"));
    if (mode == "exclusive") options.mode(hostcall::Mode::exclusive);
    if (mode == "replace") options.mode(hostcall::Mode::replace);
    if (const auto timeout = command.milliseconds("timeout")) options.timeout(*timeout);
    names_[tag] = name;
    tasks_.run(tag, [this, context = context(), tag, name, options] {
      const auto handler = [this, tag](hostcall::Request& request, hostcall::Completer completer) {
        begin(tag, request, std::move(completer))->run();
      };
      context->handle(name, handler, options);
      return Report::done(tag);
    });
  }

  std::shared_ptr<Invocation> begin(const std::string& registration, hostcall::Request& request,
                                    hostcall::Completer completer) {
    std::shared_ptr<Invocation> invocation;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const std::string tag = registration + "." + std::to_string(++invocation_counts_[registration]);
      invocation = std::make_shared<Invocation>(tag, std::move(completer));
      invocations_[tag] = invocation;
      Report report(registration, "invoke");
      report.with("call", tag).with("name", request.name()).with_bytes("payload", request.data());
      report.with(request.encoding()).with(request.metadata());
      report.with("left", static_cast<std::uint64_t>(request.time_left().count()));
      report.with("correlation", request.correlation_id()).print();
    }
    invocation->begin([this, weak = std::weak_ptr<Invocation>(invocation)] {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!is_closing_) return;
      if (const auto held = weak.lock()) held->abandon();
    });
    return invocation;
  }

  std::shared_ptr<Invocation> invocation(const std::string& tag) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = invocations_.find(tag);
    if (found == invocations_.end()) throw Misunderstanding("no call " + tag);
    return found->second;
  }

  void unregister(const Command& command) {
    tasks_.run(command.tag(), [context = context(), tag = command.tag(), name = names_[command.tag()]] {
      context->unregister(name);
      return Report::done(tag);
    });
  }

  // Events

  void subscribe(const Command& command) {
    const std::string& tag = command.tag();
    auto made = std::make_shared<Consumer>(tag, command.says("held"));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      consumers_[tag] = made;
    }
    tasks_.run(tag, [context = context(), made, tag, name = command.needed("name")] {
      made->begin(*context, name);
      return Report::done(tag);
    });
  }

  std::shared_ptr<Consumer> consumer(const std::string& tag) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = consumers_.find(tag);
    return found == consumers_.end() ? nullptr : found->second;
  }

  void unsubscribe(const Command& command) {
    const auto ending = consumer(command.tag());
    if (!ending) throw Misunderstanding("no subscription " + command.tag());
    tasks_.run(command.tag(), [ending, tag = command.tag()] {
      ending->end();
      return Report::done(tag);
    });
  }

  void publish(const Command& command) {
    tasks_.run(command.tag(), [context = context(), command] {
      const auto options = hostcall::PublishOptions().encoding(command.encoding()).metadata(command.metadata());
      Report done = Report::done(command.tag());
      if (command.says("no-reply")) {
        context->notify(command.needed("name"), command.payload(), options);
      } else {
        done.with("subscribers", context->publish(command.needed("name"), command.payload(), options));
      }
      return done;
    });
  }

  // Figures

  /// Makes calls, so many of them at a time, and says how long they took.
  void bench(const Command& command) {
    const std::string payload(command.needed_number("size"), 'x');
    const std::uint32_t calls = command.needed_number("calls");
    const std::uint32_t depth = command.needed_number("depth");
    if (calls == 0 || depth == 0) throw Misunderstanding("calls= and depth= are more than nothing");
    const std::string name = command.needed("name");
    tasks_.run(command.tag(), [context = context(), tag = command.tag(), name, payload, calls, depth] {
      using Clock = std::chrono::steady_clock;
      const auto start = Clock::now();
      std::vector<std::future<std::vector<double>>> callers;
      for (std::uint32_t caller = 0; caller < depth; ++caller) {
        const std::uint32_t share = calls / depth + (caller < calls % depth ? 1 : 0);
        callers.push_back(std::async(std::launch::async, [&context, &name, &payload, share] {
          std::vector<double> latencies;
          latencies.reserve(share);
          for (std::uint32_t call = 0; call < share; ++call) {
            const auto begin = Clock::now();
            context->call_wait(name, payload);
            latencies.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
          }
          return latencies;
        }));
      }
      std::vector<double> latencies;
      for (auto& caller : callers) {
        const auto some = caller.get();
        latencies.insert(latencies.end(), some.begin(), some.end());
      }
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      std::sort(latencies.begin(), latencies.end());
      const auto percentile = [&](std::size_t part) {
        return std::to_string(latencies[std::min(latencies.size() - 1, latencies.size() * part / 100)]);
      };
      Report done = Report::done(tag);
      return done.with("seconds", std::to_string(seconds)).with("p50", percentile(50)).with("p99", percentile(99));
    });
  }

  const std::string socket_path_;
  // Of the thread that reads commands alone.
  std::map<std::string, hostcall::CallHandle> calls_;
  std::map<std::string, std::shared_ptr<StreamedCall>> streams_;
  std::map<std::string, std::string> names_;
  // Of every thread.
  std::mutex mutex_;
  std::shared_ptr<Context> context_;
  std::map<std::string, std::shared_ptr<Invocation>> invocations_;
  std::map<std::string, int> invocation_counts_;
  std::map<std::string, std::shared_ptr<Consumer>> consumers_;
  bool is_closing_ = false;
  Tasks tasks_;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: agent SOCKET\n", stderr);
    return misunderstood_status;
  }
  Agent agent(arguments[1]);
  try {
    for (std::string line; std::getline(std::cin, line);) agent.obey(Command(line));
  } catch (const Misunderstanding& misunderstanding) {
    std::fprintf(stderr, "agent: %s\n", misunderstanding.what());
    std::_Exit(misunderstood_status);
  }
  agent.end();
  return 0;
}
