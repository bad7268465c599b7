// What the tests share: places to wait in, things that count, and a daemon of their own.
#ifndef HOSTCALL_TESTS_SUPPORT_HPP
#define HOSTCALL_TESTS_SUPPORT_HPP

#include <doctest/doctest.h>
#include <hostcall.hpp>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <sys/types.h>
#include <thread>
#include <vector>

namespace tests {

using namespace std::chrono_literals;

/// The longest that a test waits for what has to come.
constexpr auto generous = std::chrono::seconds(30);

/// A value that threads change and wait for.
template <class Value>
class Watched {
 public:
  Watched() = default;
  explicit Watched(Value value) : value_(std::move(value)) {}

  template <class Change>
  void change(Change change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    change(value_);
    changed_.notify_all();
  }

  void set(Value value) {
    change([&](Value& present) { present = std::move(value); });
  }

  Value get() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return value_;
  }

  /// Waits until the condition holds, and gives the value; fails the test where it does not come to that.
  template <class Condition>
  Value wait(Condition holds) const {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, generous, [&] { return holds(value_); })) throw std::runtime_error("waited in vain");
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Value value_{};
};

/// A gate that is opened once.
class Gate {
 public:
  void open() { state_.set(true); }
  void wait() const {
    state_.wait([](bool is_open) { return is_open; });
  }
  bool is_open() const { return state_.get(); }

 private:
  Watched<bool> state_{false};
};

/// Values on their way from one thread to another.
template <class Value>
class Channel {
 public:
  void put(Value value) {
    values_.change([&](auto& all) { all->push_back(std::move(value)); });
  }

  /// Waits for the next one.
  Value take() {
    std::optional<Value> taken;
    const auto all = values_.wait([](const auto& present) { return !present->empty(); });
    values_.change([&](auto&) {
      taken = std::move(all->front());
      all->pop_front();
    });
    return std::move(*taken);
  }

 private:
  // Shared, because what travels may not be copied.
  Watched<std::shared_ptr<std::deque<Value>>> values_{std::make_shared<std::deque<Value>>()};
};

/// Counts the ends of those that were not moved from.
class Counted {
 public:
  explicit Counted(Watched<int>& ends) : ends_(&ends) {}
  Counted(Counted&& other) noexcept : ends_(std::exchange(other.ends_, nullptr)) {}
  Counted& operator=(Counted&&) = delete;
  ~Counted() {
    if (ends_ != nullptr) ends_->change([](int& count) { ++count; });
  }

 private:
  Watched<int>* ends_;
};

/// Waits for a future; fails the test where it does not come.
template <class Value>
Value take(std::future<Value> future) {
  if (future.wait_for(generous) != std::future_status::ready) throw std::runtime_error("waited in vain for a future");
  return future.get();
}

/// The error that something throws.
template <class Body>
hostcall::Error error_of(Body&& body) {
  try {
    body();
  } catch (const hostcall::Error& error) {
    return error;
  }
  throw std::runtime_error("nothing was thrown");
}

/// A folder of its own, with a path for a socket in it.
class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();

  std::string socket_path() const { return path_ + "/hostcall.sock"; }

 private:
  std::string path_;
};

/// A daemon, from $HOSTCALLD, until its end.
class Daemon {
 public:
  Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();

  std::string socket_path() const { return folder_.socket_path(); }
  hostcall::Context connect(const std::string& client_name = "cpp-test") const;
  /// Ends it as a crash would, and begins another one.
  void restart();

 private:
  void begin();
  void end(int signal);

  Folder folder_;
  pid_t process_ = -1;
};

}  // namespace tests

#endif
