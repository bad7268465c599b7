// What the driver has begun and goes on with by its tag: calls, invocations and subscriptions.
#ifndef HOSTCALL_CONFORMANCE_ONGOING_HPP
#define HOSTCALL_CONFORMANCE_ONGOING_HPP

#include "command.hpp"
#include "lane.hpp"

/// A call with items, under way.
class StreamedCall {
 public:
  StreamedCall(std::string tag, hostcall::Stream stream, bool takes_items)
      : tag_(std::move(tag)), stream_(std::move(stream)) {
    if (!takes_items) finish();
  }

  void take(std::uint32_t count) {
    takes_.run([this, count] {
      tell_end([&] {
        for (std::uint32_t taken = 0; taken < count; ++taken) {
          const auto item = stream_.next();
          if (!item) return true;
          Report::item(tag_, *item).print();
        }
        return false;
      });
    });
  }

  void send(std::string payload, hostcall::Encoding encoding) {
    sends_.run([this, payload = std::move(payload), encoding] {
      // Where the call has ended, its outcome says so.
      if (stream_.send(payload, encoding)) Report(tag_, "sent").print();
    });
  }

  void end() {
    sends_.run([this] { stream_.send_end(); });
  }

  void cancel() {
    stream_.cancel();
    finish();
  }

 private:
  /// Tells the outcome, without the items that nobody has taken.
  void finish() {
    takes_.run([this] {
      tell_end([&] { return true; });
    });
  }

  /// Runs what takes items; tells the outcome, once, where that says that the end is reached.
  template <class Body>
  void tell_end(Body body) {
    if (is_told_) return;
    try {
      if (!body()) return;
      Report::result(tag_, stream_.result()).print();
    } catch (const hostcall::Error& error) {
      Report::error(tag_, error).print();
    }
    is_told_ = true;
  }

  const std::string tag_;
  hostcall::Stream stream_;
  bool is_told_ = false;
  // The lanes last, whose ends use the rest.
  Lane takes_;
  Lane sends_;
};

/// A call that the agent answers as it is told. Its handler waits in run().
class Invocation {
 public:
  Invocation(std::string tag, hostcall::Completer completer) : tag_(std::move(tag)), completer_(std::move(completer)) {}

  const hostcall::Call& call() const { return completer_; }

  /// From now on it is told when the call is over; `also` runs then.
  void begin(std::function<void()> also) {
    hook_ = completer_.on_cancel([this, also = std::move(also)] {
      Report(tag_, "cancelled").print();
      also();
    });
  }

  /// Waits until it is told how the handler ends, and does that.
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return static_cast<bool>(ending_); });
    const auto ending = std::move(ending_);
    lock.unlock();
    ending();
  }

  void complete(hostcall::Status status, const hostcall::Reply& reply) {
    end_by([this, status, reply] {
      if (status == hostcall::Status::ok) {
        completer_.complete(reply);
      } else {
        completer_.fail(hostcall::Failure(status, reply.data(), reply.encoding(), reply.metadata()));
      }
      Report(tag_, "completed").print();
    });
  }

  void raise(std::string message) {
    end_by([this, message = std::move(message)] {
      Report(tag_, "completed").print();
      throw std::runtime_error(message);
    });
  }

  /// The agent leaves: the handler ends, and whatever it comes to reaches nobody.
  void abandon() {
    end_by([] {});
  }

  void take(std::uint32_t count) {
    takes_.run([this, count] {
      telling([&] {
        for (std::uint32_t taken = 0; taken < count; ++taken) {
          const auto item = completer_.next_argument();
          if (!item) return Report(tag_, "items-end").print();
          Report::item(tag_, *item).print();
        }
      });
    });
  }

  void send(std::string payload, hostcall::Encoding encoding) {
    sends_.run([this, payload = std::move(payload), encoding] {
      telling([&] {
        completer_.send(payload, encoding);
        Report(tag_, "sent").print();
      });
    });
  }

 private:
  void end_by(std::function<void()> ending) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ending_) ending_ = std::move(ending);
    changed_.notify_all();
  }

  template <class Body>
  void telling(Body body) const {
    try {
      body();
    } catch (const hostcall::Error& error) {
      Report::error(tag_, error).print();
    }
  }

  const std::string tag_;
  hostcall::Completer completer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> ending_;
  hostcall::CancelHook hook_;
  Lane takes_;
  Lane sends_;
};

/// A consumer of events, which takes as many as it is told to.
class Consumer {
 public:
  Consumer(std::string tag, bool is_held) : tag_(std::move(tag)), is_held_(is_held) {}

  void begin(const hostcall::Context& context, const std::string& pattern) {
    auto subscription = context.subscribe(pattern, [this](const hostcall::Event& event) {
      if (wait_for_turn()) Report::event(tag_, event).print();
    });
    const std::lock_guard<std::mutex> lock(mutex_);
    subscription_ = std::move(subscription);
  }

  void take(std::uint32_t count) {
    const std::lock_guard<std::mutex> lock(mutex_);
    turns_ += count;
    changed_.notify_all();
  }

  void end() {
    hostcall::Subscription subscription;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      has_ended_ = true;
      changed_.notify_all();
      subscription = std::move(subscription_);
    }
    subscription.unsubscribe();
  }

 private:
  /// Holds the event up until it is to be taken; false where it never will be.
  bool wait_for_turn() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return has_ended_ || !is_held_ || turns_ > 0; });
    if (has_ended_) return false;
    if (is_held_) --turns_;
    return true;
  }

  const std::string tag_;
  const bool is_held_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t turns_ = 0;
  bool has_ended_ = false;
  hostcall::Subscription subscription_;
};

#endif
