// Hostcall for C++17: call functions that live in other processes, and serve your own. One header over libhostcall.
//
//   auto context = hostcall::Context::connect();
//   context.handle("upper", [](hostcall::Request& request) { return upper(request.data()); });
//   std::cout << context.call("upper", "hello").get().data();
//
// Rules that hold everywhere
//
// Errors.   What fails throws hostcall::Error, whose what() is for people: what was attempted, what happened, what to
//           do.
// Threads.  Every member may be called from any thread, any number at a time, also from inside a callback; but moving
//           and destroying an object is for one thread alone, as ever in C++. Callbacks run on threads of the
//           library's, several of them at a time, and may block. They may throw: each says below what becomes of that.
// Polled.   A context that was made polled() has no such threads. Its callbacks run inside poll(), and inside every
//           member that waits but for those of std::future, which knows nothing of it: use PendingCall, or poll until
//           it is ready. They are nested then: what waits inside of a callback does not see what the code around that
//           would do next.
// Bytes.    A payload is a std::string or std::string_view of any bytes; see bytes().
// Ends.     The destructor of a Context waits for its callbacks, so what they refer to has to be there until then:
//           declare it before the context. Other objects of a context may outlive it: they find it closed.
//
// hostcall.h, which this wraps, says more about what each thing does; what calls, deadlines, streams and events are is
// in the protocol's description.
#ifndef HOSTCALL_HPP
#define HOSTCALL_HPP

#include <hostcall.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace hostcall {

// ---------------------------------------------------------------------------------------------------------------------
// What travels

/// How something ended (protocol section 6). 128 to 255 are the application's own: `Status{200}`.
enum class Status : std::int32_t {
  ok = HOSTCALL_OK,
  null_pointer = HOSTCALL_NULL_POINTER,
  buffer_too_small = HOSTCALL_BUFFER_TOO_SMALL,
  invalid_utf8 = HOSTCALL_INVALID_UTF8,
  serialization = HOSTCALL_SERIALIZATION,
  panic = HOSTCALL_PANIC,
  timeout = HOSTCALL_TIMEOUT,
  not_found = HOSTCALL_NOT_FOUND,
  lock_poisoned = HOSTCALL_LOCK_POISONED,
  failed = HOSTCALL_FAILED,
  cancelled = HOSTCALL_CANCELLED,
  worker_lost = HOSTCALL_WORKER_LOST,
  unavailable = HOSTCALL_UNAVAILABLE,
  overloaded = HOSTCALL_OVERLOADED,
  denied = HOSTCALL_DENIED,
  too_large = HOSTCALL_TOO_LARGE,
  protocol = HOSTCALL_PROTOCOL,
  version = HOSTCALL_VERSION,
  shutting_down = HOSTCALL_SHUTTING_DOWN,
  already_registered = HOSTCALL_ALREADY_REGISTERED,
  invalid_argument = HOSTCALL_INVALID_ARGUMENT,
  unknown_call = HOSTCALL_UNKNOWN_CALL,
  late = HOSTCALL_LATE,
  duplicate = HOSTCALL_DUPLICATE,
  caller_lost = HOSTCALL_CALLER_LOST,
  cannot_connect = HOSTCALL_CANNOT_CONNECT,
  connection_lost = HOSTCALL_CONNECTION_LOST,
  closed = HOSTCALL_CLOSED,
  unknown = HOSTCALL_UNKNOWN
};

/// A status in words, such as "NOT_FOUND"; "APPLICATION" from 128 to 255. Good for ever.
inline const char* to_string(Status status) noexcept {
  return hostcall_status_name(static_cast<hostcall_status>(status));
}

/// What a payload's bytes are. 128 to 255 are the application's own: `Encoding{128}`.
enum class Encoding : std::uint32_t { raw = HOSTCALL_RAW, json = HOSTCALL_JSON, cbor = HOSTCALL_CBOR };

/// Who found an error.
enum class Origin : std::int32_t {
  daemon = HOSTCALL_FROM_DAEMON,
  worker = HOSTCALL_FROM_WORKER,
  library = HOSTCALL_FROM_LIBRARY
};

/// Texts that travel beside a payload. A key is 1 to 64 bytes of a-z 0-9 -, a value UTF-8 without NUL; all of them
/// together have at most 65,535 bytes. Keys that begin with hostcall- are the daemon's.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// Any bytes as a payload. They are not copied.
inline std::string_view bytes(const void* data, std::size_t size) noexcept {
  return {static_cast<const char*>(data), size};
}

/// A result: what a call brings, and what a host function may return.
class Reply {
 public:
  Reply() = default;
  Reply(std::string data, Encoding encoding = Encoding::raw, Metadata metadata = {})
      : data_(std::move(data)), metadata_(std::move(metadata)), encoding_(encoding) {}
  Reply(std::string_view data) : data_(data) {}
  Reply(const char* text) : data_(text) {}

  const std::string& data() const& noexcept { return data_; }
  /// The bytes of a reply that is not used any more, without a copy: `context.call("upper", "hello").get().data()`.
  std::string data() && noexcept { return std::move(data_); }
  Encoding encoding() const noexcept { return encoding_; }
  const Metadata& metadata() const noexcept { return metadata_; }
  /// The number by which worker, logs and tools know the call; 0 where none was issued.
  std::uint64_t correlation_id() const noexcept { return correlation_id_; }

  /// What the library was given; copied.
  explicit Reply(const hostcall_result& result);

 private:
  std::string data_;
  Metadata metadata_;
  Encoding encoding_ = Encoding::raw;
  std::uint64_t correlation_id_ = 0;
};

/// One item of a stream.
struct Item {
  std::string data;
  Encoding encoding = Encoding::raw;
};

/// What somebody has published.
struct Event {
  std::string name;
  std::string data;
  Encoding encoding = Encoding::raw;
  Metadata metadata;
  /// How many were dropped since the one before, because this subscriber was too slow.
  std::uint64_t dropped_before = 0;
  /// Whether the connection was lost since the one before, so that an unknown number never came.
  bool follows_gap = false;
};

// ---------------------------------------------------------------------------------------------------------------------
// Errors

/// What did not come about. what() is a sentence for people, such as
/// "slow: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)".
class Error : public std::runtime_error {
 public:
  Error(Status status, const std::string& message, Origin origin = Origin::library)
      : runtime_error(message), details_(std::make_shared<const Reply>()), status_(status), origin_(origin) {}
  /// How a call ended, as the library tells it; copied.
  explicit Error(const hostcall_result& result)
      : runtime_error(result.message == nullptr ? "" : result.message),
        details_(std::make_shared<const Reply>(result)),
        status_(static_cast<Status>(result.status)),
        origin_(static_cast<Origin>(result.origin)) {}

  Status status() const noexcept { return status_; }
  /// Who found it: of calls alone. Everything else is told by the library, also where the daemon has refused it.
  Origin origin() const noexcept { return origin_; }
  /// The number by which worker, logs and tools know the call; 0 where none was issued.
  std::uint64_t correlation_id() const noexcept { return details_->correlation_id(); }
  /// What came with it; where the worker chose the status, this is the worker's error.
  const std::string& payload() const noexcept { return details_->data(); }
  Encoding encoding() const noexcept { return details_->encoding(); }
  const Metadata& metadata() const noexcept { return details_->metadata(); }

 private:
  // Shared, because the copy of an exception may not throw.
  std::shared_ptr<const Reply> details_;
  Status status_;
  Origin origin_;
};

/// Thrown by a host function: its call ends with this status and error.
class Failure : public std::runtime_error {
 public:
  /// - status: null_pointer to lock_poisoned, failed, cancelled, unknown, or 128 to 255; with another one the call ends
  ///   with PANIC, which says so.
  explicit Failure(Status status, std::string payload = {}, Encoding encoding = Encoding::raw, Metadata metadata = {})
      : runtime_error(payload),
        reply_(std::make_shared<const Reply>(std::move(payload), encoding, std::move(metadata))),
        status_(status) {
    if (status == Status::ok) throw std::invalid_argument("a failure cannot have the status OK");
  }
  /// The status FAILED.
  explicit Failure(std::string payload) : Failure(Status::failed, std::move(payload)) {}

  Status status() const noexcept { return status_; }
  /// The error as bytes, their encoding and metadata.
  const Reply& reply() const noexcept { return *reply_; }

 private:
  std::shared_ptr<const Reply> reply_;
  Status status_;
};

/// How a call has ended: with a reply or an error.
class Outcome {
 public:
  explicit Outcome(Reply reply) : value_(std::in_place_index<0>, std::move(reply)) {}
  explicit Outcome(Error error) : value_(std::in_place_index<1>, std::move(error)) {}
  explicit Outcome(const hostcall_result& result) : value_(std::in_place_index<0>) {
    if (result.status == HOSTCALL_OK) {
      value_.emplace<0>(result);
    } else {
      value_.emplace<1>(result);
    }
  }

  explicit operator bool() const noexcept { return value_.index() == 0; }
  Status status() const noexcept { return *this ? Status::ok : std::get_if<1>(&value_)->status(); }

  /// The reply. Throws the error where there is none.
  const Reply& get() const& {
    if (const Error* error = std::get_if<1>(&value_)) throw *error;
    return *std::get_if<0>(&value_);
  }
  Reply get() && {
    if (const Error* error = std::get_if<1>(&value_)) throw *error;
    return std::move(*std::get_if<0>(&value_));
  }
  /// The error; null where there is a reply.
  const Error* error() const noexcept { return std::get_if<1>(&value_); }

 private:
  std::variant<Reply, Error> value_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Options. Each member changes one and gives the object back: `CallOptions().timeout(250ms).wait_for_worker()`.

/// What a host function is told of an exception that nobody can catch.
using UncaughtHandler = std::function<void(std::exception_ptr)>;

class Call;
class Context;

namespace detail {

class HostFunction;

/// The library's milliseconds. 0 would mean a default there, so what is over already becomes 1.
inline std::uint32_t milliseconds(std::chrono::milliseconds duration) noexcept {
  return static_cast<std::uint32_t>(
      std::clamp<std::chrono::milliseconds::rep>(duration.count(), 1, std::numeric_limits<std::uint32_t>::max() - 1));
}

}  // namespace detail

/// How to connect, or to open a bridge.
class ContextOptions {
 public:
  /// connect(): the daemon's socket; without it the usual places ($HOSTCALL_SOCKET and so on). open(): where other
  /// processes may connect, at most 107 bytes; without it nowhere.
  ContextOptions& socket_path(std::string path) { return socket_path_ = std::move(path), *this; }
  /// Who this is, for the daemon's log and tools, such as "indexer/1.4"; without it the program's name.
  ContextOptions& client_name(std::string name) { return client_name_ = std::move(name), *this; }
  /// How long connecting may take; 5 s without it.
  ContextOptions& connect_timeout(std::chrono::milliseconds timeout) {
    return connect_timeout_milliseconds_ = detail::milliseconds(timeout), *this;
  }
  /// Threads that may run callbacks at once, started when they are needed; 256 without it. Host functions that wait for
  /// arguments need one more among them, which brings those.
  ContextOptions& thread_limit(std::uint32_t threads) { return thread_limit_ = threads, *this; }
  /// No threads: callbacks run in Context::poll() and in members that wait.
  ContextOptions& polled(bool is_polled = true) { return is_polled_ = is_polled, *this; }
  /// Whether to connect again, and to register and subscribe again, when the connection is lost. It does, without this.
  ContextOptions& reconnects(bool reconnects) { return reconnects_ = reconnects, *this; }
  /// Is told of exceptions that callbacks of calls, of events and of cancels have thrown, on their threads. Without it,
  /// and of what it throws itself, there is a line on standard error.
  ContextOptions& on_uncaught(UncaughtHandler handler) { return on_uncaught_ = std::move(handler), *this; }

 private:
  friend class Context;

  std::optional<std::string> socket_path_;
  std::optional<std::string> client_name_;
  std::uint32_t connect_timeout_milliseconds_ = 0;
  std::uint32_t thread_limit_ = 0;
  bool is_polled_ = false;
  bool reconnects_ = true;
  UncaughtHandler on_uncaught_;
};

namespace detail {

/// What all calls can be told.
template <class Options>
class BasicCallOptions {
 public:
  /// How long the call may take in all; without it the daemon's default, 30 s. Nothing left is as good as 1 ms.
  Options& timeout(std::chrono::milliseconds timeout) {
    return timeout_milliseconds_ = milliseconds(timeout), self();
  }
  /// What the payload's bytes are.
  Options& encoding(Encoding encoding) { return encoding_ = encoding, self(); }
  Options& metadata(Metadata metadata) { return metadata_ = std::move(metadata), self(); }
  /// Where nobody has registered the name, wait for somebody until the deadline.
  Options& wait_for_worker(bool waits = true) { return set(HOSTCALL_WAIT, waits); }
  /// The call may run more than once: if its worker is lost, it is sent to another one.
  Options& idempotent(bool is_idempotent = true) { return set(HOSTCALL_IDEMPOTENT, is_idempotent); }
  /// The call that is being answered meanwhile: this one gets no more time than that one has left, and its trace. Calls
  /// that a host function makes on its own thread know it without this.
  Options& inside(const Call& call) noexcept;

 protected:
  Options& set(std::uint32_t flag, bool is_set) noexcept {
    return flags_ = is_set ? flags_ | flag : flags_ & ~flag, self();
  }

 private:
  friend class hostcall::Context;

  Options& self() noexcept { return static_cast<Options&>(*this); }

  std::uint32_t timeout_milliseconds_ = 0;
  std::uint32_t flags_ = 0;
  std::uint64_t inside_ = 0;
  Encoding encoding_ = Encoding::raw;
  Metadata metadata_;
};

}  // namespace detail

/// How to make a call.
class CallOptions : public detail::BasicCallOptions<CallOptions> {};

/// How to make a call with items.
class StreamOptions : public detail::BasicCallOptions<StreamOptions> {
 public:
  /// Result items that may be on their way or wait here; 32 without it, 0 where none are wanted.
  StreamOptions& window(std::uint32_t items) { return window_ = items, *this; }
  /// Whether argument items are sent: Stream::send() and Stream::send_end().
  StreamOptions& arguments(bool are_sent = true) { return set(HOSTCALL_ARGUMENTS, are_sent); }

 private:
  friend class Context;

  std::uint32_t window_ = 32;
};

/// How a registration joins others of its name.
enum class Mode : std::uint32_t {
  /// Joins them.
  shared = HOSTCALL_SHARED,
  /// Is refused if anyone has the name, and keeps everyone else out.
  exclusive = HOSTCALL_EXCLUSIVE,
  /// Takes all new and queued calls, also from a host function of the same context.
  replace = HOSTCALL_REPLACE
};

/// How to serve a host function.
class HandleOptions {
 public:
  /// Calls that run at once; without it the daemon's default, 64.
  HandleOptions& concurrency(std::uint32_t calls) { return concurrency_ = calls, *this; }
  /// The longest that a call may run; without it the daemon's maximum.
  HandleOptions& timeout(std::chrono::milliseconds timeout) {
    return timeout_milliseconds_ = detail::milliseconds(timeout), *this;
  }
  HandleOptions& mode(Mode mode) { return mode_ = mode, *this; }
  /// A call may be sent again to another worker if this one is lost.
  HandleOptions& idempotent(bool is_idempotent = true) { return set(HOSTCALL_IDEMPOTENT, is_idempotent); }
  /// Requests have the metadata hostcall-caller-uid, -gid, -pid and -session.
  HandleOptions& caller_identity(bool is_told = true) { return set(HOSTCALL_CALLER_IDENTITY, is_told); }
  /// Argument items that may be on their way or wait here, for each call; 32 without it, 1 at least.
  HandleOptions& window(std::uint32_t items) { return window_ = std::max<std::uint32_t>(items, 1), *this; }

 private:
  friend class Context;

  HandleOptions& set(std::uint32_t flag, bool is_set) noexcept {
    return flags_ = is_set ? flags_ | flag : flags_ & ~flag, *this;
  }

  std::uint32_t concurrency_ = 0;
  std::uint32_t timeout_milliseconds_ = 0;
  std::uint32_t flags_ = 0;
  std::uint32_t window_ = 32;
  Mode mode_ = Mode::shared;
};

/// How to publish an event.
class PublishOptions {
 public:
  PublishOptions& encoding(Encoding encoding) { return encoding_ = encoding, *this; }
  PublishOptions& metadata(Metadata metadata) { return metadata_ = std::move(metadata), *this; }

 private:
  friend class Context;

  Encoding encoding_ = Encoding::raw;
  Metadata metadata_;
};

// ---------------------------------------------------------------------------------------------------------------------
// What the members below share; no part of the interface.

namespace detail {

/// How long somebody waits at most before looking whether what is waited for has come to an end unheard: where all
/// threads are taken, nobody can be told of it.
constexpr std::chrono::milliseconds unheard_end_interval{1'000};

/// How long one turn of polling inside of a wait takes at most: another thread that polls may have run the callback.
constexpr std::int32_t polling_turn_milliseconds = 20;

inline void check(hostcall_status status) {
  if (status != HOSTCALL_OK) throw Error(static_cast<Status>(status), hostcall_last_error());
}

/// Text as C takes it. It ends at its first NUL there, so it may not have one.
inline std::string c_text(std::string_view text, const char* what) {
  if (text.find('\0') != std::string_view::npos) {
    throw Error(Status::invalid_argument, std::string(what) + " has a byte that is 0");
  }
  return std::string(text);
}

/// Metadata as C takes them; they refer to what they were made of.
inline std::vector<hostcall_metadata> c_metadata(const Metadata& metadata) {
  std::vector<hostcall_metadata> entries;
  entries.reserve(metadata.size());
  for (const auto& [key, value] : metadata) {
    if (key.find('\0') != std::string::npos || value.find('\0') != std::string::npos) {
      throw Error(Status::invalid_argument, "the metadata " + key + " have a byte that is 0");
    }
    entries.push_back({key.c_str(), value.c_str()});
  }
  return entries;
}

inline std::string copied(const std::uint8_t* data, std::size_t size) {
  return size == 0 ? std::string() : std::string(reinterpret_cast<const char*>(data), size);
}

inline Metadata copied(const hostcall_metadata* entries, std::size_t count) {
  Metadata metadata;
  for (std::size_t index = 0; index < count; ++index) metadata.emplace(entries[index].key, entries[index].value);
  return metadata;
}

inline Item copied(const hostcall_item& item) {
  return {copied(item.data, item.size), static_cast<Encoding>(item.encoding)};
}

/// A context, for whatever belongs to it. The handle may be used after the context was closed: that is told then.
struct Connection {
  hostcall_context* handle = nullptr;
  bool is_polled = false;
  UncaughtHandler on_uncaught;

  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Runs what a callback is to do; nothing that it throws gets to the library.
  template <class Body>
  void guard(Body&& body) const noexcept {
    try {
      std::forward<Body>(body)();
    } catch (...) {
      tell_uncaught(std::current_exception());
    }
  }

  /// Waits until `holds`, which changes under the lock. `look` looks without it for an end that nobody has told.
  template <class Condition, class Look>
  void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Condition holds, Look look) const {
    while (!holds()) {
      if (is_polled) {
        lock.unlock();
        hostcall_poll(handle, polling_turn_milliseconds, nullptr);
        look();
        lock.lock();
      } else if (changed.wait_for(lock, unheard_end_interval) == std::cv_status::timeout) {
        lock.unlock();
        look();
        lock.lock();
      }
    }
  }

 private:
  void tell_uncaught(std::exception_ptr exception) const noexcept {
    try {
      if (on_uncaught) return on_uncaught(exception);
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "hostcall: a callback has thrown: %s\n", error.what());
    } catch (...) {
      std::fputs("hostcall: a callback has thrown something that is no std::exception\n", stderr);
    }
  }
};

/// Who is told how a call ends. The library has it, from the call's beginning until it has ended.
class ResultReceiver {
 public:
  ResultReceiver() = default;
  ResultReceiver(const ResultReceiver&) = delete;
  ResultReceiver& operator=(const ResultReceiver&) = delete;
  virtual ~ResultReceiver() = default;

  virtual void item(const hostcall_item&) noexcept {}
  virtual void end(const hostcall_result& result) noexcept = 0;

  static void on_item(hostcall_context*, std::uint64_t, const hostcall_item* item, void* user_data) noexcept {
    if (item != nullptr) static_cast<ResultReceiver*>(user_data)->item(*item);
  }
  static void on_result(hostcall_context*, std::uint64_t, const hostcall_result* result, void* user_data) noexcept {
    std::unique_ptr<ResultReceiver> receiver(static_cast<ResultReceiver*>(user_data));
    receiver->end(*result);
  }
};

/// Keeps the promise of a call.
class PromiseReceiver final : public ResultReceiver {
 public:
  std::promise<Reply> promise;

  void end(const hostcall_result& result) noexcept override {
    try {
      if (result.status != HOSTCALL_OK) throw Error(result);
      promise.set_value(Reply(result));
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }
};

/// Hands the outcome of a call to a callback.
template <class Callback>
class CallbackReceiver final : public ResultReceiver {
 public:
  CallbackReceiver(std::shared_ptr<const Connection> connection, Callback callback)
      : connection_(std::move(connection)), callback_(std::move(callback)) {}

  void end(const hostcall_result& result) noexcept override {
    connection_->guard([&] { std::invoke(callback_, Outcome(result)); });
  }

 private:
  std::shared_ptr<const Connection> connection_;
  Callback callback_;
};

}  // namespace detail

inline Reply::Reply(const hostcall_result& result)
    : data_(detail::copied(result.data, result.size)),
      metadata_(detail::copied(result.metadata, result.metadata_count)),
      encoding_(static_cast<Encoding>(result.encoding)),
      correlation_id_(result.correlation_id) {}

// ---------------------------------------------------------------------------------------------------------------------
// Calling

/// A call that is under way, to be cancelled. May be copied, and left alone: the call goes on.
class CallHandle {
 public:
  CallHandle() = default;

  /// Ends the call: its outcome is CANCELLED, or what was already on its way. False where it had ended.
  bool cancel() const noexcept { return hostcall_cancel(context_, request_) == HOSTCALL_OK; }

 private:
  friend class Context;
  friend class Stream;

  hostcall_context* context_ = nullptr;
  std::uint64_t request_ = 0;
};

/// A call that is under way, with its result to come. Leaving it alone leaves the call alone.
class PendingCall {
 public:
  /// Waits for the outcome: the reply, or Error is thrown. Once.
  Reply get() {
    wait_until(std::nullopt);
    return future_.get();
  }

  /// Waits for the outcome so long; whether it is there.
  bool wait_for(std::chrono::milliseconds duration) const {
    return wait_until(std::chrono::steady_clock::now() + duration);
  }

  /// Ends the call, whose outcome is then CANCELLED, or what was already on its way. False where it had ended.
  bool cancel() const noexcept { return handle_.cancel(); }

  /// What cancels it, for somebody else.
  CallHandle handle() const noexcept { return handle_; }

  /// The future instead of this, which keeps cancel().
  std::future<Reply> future() { return std::move(future_); }

 private:
  friend class Context;

  PendingCall(std::shared_ptr<const detail::Connection> connection, std::future<Reply> future)
      : connection_(std::move(connection)), future_(std::move(future)) {}

  bool wait_until(std::optional<std::chrono::steady_clock::time_point> end) const {
    const auto is_ready = [this] { return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; };
    if (!connection_->is_polled) {
      if (end) return future_.wait_until(*end) == std::future_status::ready;
      future_.wait();
      return true;
    }
    while (!is_ready()) {
      auto turn = std::chrono::milliseconds(detail::polling_turn_milliseconds);
      if (end) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return false;
        turn = std::min(turn, left);
      }
      hostcall_poll(connection_->handle, static_cast<std::int32_t>(turn.count()), nullptr);
    }
    return true;
  }

  std::shared_ptr<const detail::Connection> connection_;
  std::future<Reply> future_;
  CallHandle handle_;
};

namespace detail {

/// What a stream and the library have in common.
struct StreamState {
  explicit StreamState(std::shared_ptr<const Connection> owner) : connection(std::move(owner)) {}

  const std::shared_ptr<const Connection> connection;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Item> items;
  std::optional<Outcome> outcome;
  /// Why an item or the outcome could not be kept.
  std::exception_ptr failure;
  bool has_ended = false;
};

class StreamReceiver final : public ResultReceiver {
 public:
  explicit StreamReceiver(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}

  void item(const hostcall_item& item) noexcept override {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    keeping([&] { state_->items.push_back(copied(item)); });
    state_->changed.notify_all();
  }

  void end(const hostcall_result& result) noexcept override {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    keeping([&] { state_->outcome.emplace(result); });
    state_->has_ended = true;
    state_->changed.notify_all();
  }

 private:
  template <class Body>
  void keeping(Body&& body) noexcept {
    try {
      body();
    } catch (...) {
      state_->failure = std::current_exception();
    }
  }

  std::shared_ptr<StreamState> state_;
};

}  // namespace detail

/// A call with items: results to take, arguments to send, or both, each no faster than the other side takes them.
///
///   for (const hostcall::Item& item : context.stream("numbers")) std::cout << item.data << "\n";
///
/// Its destructor cancels the call if it has not ended. One thread takes and one sends; they may be two.
class Stream {
 public:
  Stream(Stream&& other) noexcept = default;
  Stream& operator=(Stream&& other) noexcept {
    if (this != &other) {
      abandon();
      state_ = std::move(other.state_);
      handle_ = other.handle_;
      window_ = other.window_;
      taken_ = other.taken_;
    }
    return *this;
  }
  ~Stream() { abandon(); }

  /// The next result item: waits for it. Nothing once the call has ended well and all were taken; throws Error where it
  /// has ended otherwise.
  std::optional<Item> next() {
    std::unique_lock<std::mutex> lock(state_->mutex);
    wait(lock, [this] { return state_->failure || !state_->items.empty() || state_->has_ended; });
    if (state_->failure) std::rethrow_exception(state_->failure);
    if (state_->items.empty()) {
      state_->outcome->get();
      return std::nullopt;
    }
    Item item = std::move(state_->items.front());
    state_->items.pop_front();
    lock.unlock();
    // Half a window at a time: a frame for every item would cost as much as the items.
    if (++taken_ >= (window_ + 1) / 2) {
      hostcall_add_credit(handle_.context_, handle_.request_, taken_);
      taken_ = 0;
    }
    return item;
  }

  /// What the call has ended with: waits for it, and drops items that were not taken. Throws Error where it has ended
  /// otherwise. A host function that wants all arguments needs send_end() before this.
  const Reply& result() {
    while (next()) {
    }
    return std::as_const(*state_->outcome).get();
  }

  /// Sends an argument item: waits while the other side has not taken what is on its way. False once the call has
  /// ended, which result() then tells about. Throws Error with invalid_argument where the call has no arguments.
  bool send(std::string_view data, Encoding encoding = Encoding::raw) {
    return sent(hostcall_send_item_wait(handle_.context_, handle_.request_, data.data(), data.size(),
                                        static_cast<std::uint32_t>(encoding), UINT32_MAX));
  }

  /// No more arguments follow. False once the call has ended.
  bool send_end() { return sent(hostcall_end_items(handle_.context_, handle_.request_)); }

  /// Ends the call, as CallHandle::cancel() does. Items that have come are still there.
  bool cancel() const noexcept { return handle_.cancel(); }

  /// What cancels it, for somebody else.
  CallHandle handle() const noexcept { return handle_; }

  /// Goes over what next() gives; to be gone over once.
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Item;
    using difference_type = std::ptrdiff_t;
    using pointer = const Item*;
    using reference = const Item&;

    iterator() = default;
    reference operator*() const noexcept { return *item_; }
    pointer operator->() const noexcept { return &*item_; }
    iterator& operator++() { return item_ = stream_->next(), *this; }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& one, const iterator& other) noexcept {
      return one.item_.has_value() == other.item_.has_value();
    }
    friend bool operator!=(const iterator& one, const iterator& other) noexcept { return !(one == other); }

   private:
    friend class Stream;

    explicit iterator(Stream* stream) : stream_(stream), item_(stream->next()) {}

    Stream* stream_ = nullptr;
    std::optional<Item> item_;
  };

  iterator begin() { return iterator(this); }
  iterator end() noexcept { return iterator(); }

 private:
  friend class Context;

  Stream(std::shared_ptr<detail::StreamState> state, CallHandle handle, std::uint32_t window) noexcept
      : state_(std::move(state)), handle_(handle), window_(window) {}

  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, Condition holds) {
    // The library tells the end of every call that it has taken; there is nothing to look for.
    state_->connection->wait(lock, state_->changed, holds, [] {});
  }

  static bool sent(hostcall_status status) {
    if (status == HOSTCALL_LATE || status == HOSTCALL_CLOSED) return false;
    detail::check(status);
    return true;
  }

  void abandon() noexcept {
    if (state_) handle_.cancel();
  }

  std::shared_ptr<detail::StreamState> state_;
  CallHandle handle_;
  std::uint32_t window_;
  /// Items taken that no credit was given for yet.
  std::uint32_t taken_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------
// Serving

namespace detail {

/// What is to be done when a call is over, until its owner takes it back.
class Hook {
 public:
  Hook() = default;
  Hook(const Hook&) = delete;
  Hook& operator=(const Hook&) = delete;
  virtual ~Hook() = default;

  /// Runs it, unless it was taken back or has run.
  void fire(const Connection& connection, Status why) noexcept {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stage_ != Stage::armed) return;
      stage_ = Stage::running;
      runner_ = std::this_thread::get_id();
    }
    connection.guard([&] { run(why); });
    const std::lock_guard<std::mutex> lock(mutex_);
    stage_ = Stage::over;
    changed_.notify_all();
  }

  /// It will not run after this; one that runs on another thread is waited for.
  void disarm() noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    if (stage_ == Stage::armed) stage_ = Stage::over;
    if (runner_ == std::this_thread::get_id()) return;
    changed_.wait(lock, [this] { return stage_ == Stage::over; });
  }

 protected:
  virtual void run(Status why) = 0;

 private:
  /// armed → running → over, or armed → over.
  enum class Stage { armed, running, over };

  std::mutex mutex_;
  std::condition_variable changed_;
  Stage stage_ = Stage::armed;
  std::thread::id runner_;
};

template <class Callback>
class CallbackHook final : public Hook {
 public:
  explicit CallbackHook(Callback callback) : callback_(std::move(callback)) {}

 private:
  void run(Status why) override {
    if constexpr (std::is_invocable_v<Callback&, Status>) {
      std::invoke(callback_, why);
    } else {
      std::invoke(callback_);
    }
  }

  Callback callback_;
};

class Invocation;

/// The calls of one registration that run, for the callbacks that tell about them by number. A call belongs to it until
/// it is completed.
class InvocationTable {
 public:
  explicit InvocationTable(std::shared_ptr<const Connection> connection, std::uint32_t window)
      : connection_(std::move(connection)), window_(window) {}
  InvocationTable(const InvocationTable&) = delete;
  InvocationTable& operator=(const InvocationTable&) = delete;

  const std::shared_ptr<const Connection>& connection() const noexcept { return connection_; }
  std::uint32_t window() const noexcept { return window_; }

  /// The call; null where it has been completed, or has not begun.
  std::shared_ptr<Invocation> find(std::uint64_t call_id) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = calls_.find(call_id);
    return found == calls_.end() ? nullptr : found->second;
  }

  /// The call, made here where its host function begins, or where an item comes before that has; null where it is over.
  std::shared_ptr<Invocation> find_or_make(const std::shared_ptr<InvocationTable>& self, std::uint64_t call_id,
                                           bool begins);

  void remove(std::uint64_t call_id) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    calls_.erase(call_id);
  }

 private:
  const std::shared_ptr<const Connection> connection_;
  const std::uint32_t window_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Invocation>> calls_;
};

/// A call that is answered here: what its request, its completer and the library's callbacks have in common.
class Invocation {
 public:
  Invocation(std::shared_ptr<InvocationTable> table, std::uint64_t call_id)
      : table_(std::move(table)), call_id_(call_id) {}
  Invocation(const Invocation&) = delete;
  Invocation& operator=(const Invocation&) = delete;

  std::uint64_t call_id() const noexcept { return call_id_; }
  std::uint64_t correlation_id() const noexcept { return correlation_id_; }
  std::uint32_t flags() const noexcept { return flags_; }
  std::chrono::steady_clock::time_point deadline() const noexcept { return deadline_; }

  // The host function begins and ends; in between the call stays open though its completer is gone, because what the
  // host function throws is worth more than that nobody completes it.

  void begin(const hostcall_invocation& invocation) noexcept {
    correlation_id_ = invocation.correlation_id;
    flags_ = invocation.flags;
    deadline_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(invocation.timeout_milliseconds);
    // It may have been over before anybody here knew it, and nobody tells that again.
    look();
  }

  void handler_ended() noexcept {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      handler_runs_ = false;
      if (!is_dropped_) return;
    }
    complete_dropped();
  }

  void drop() noexcept {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_dropped_ = true;
      if (handler_runs_) return;
    }
    complete_dropped();
  }

  /// Ends the call; the first one counts. Throws Error where this cannot be sent, and the call goes on.
  Status complete(Status status, const Reply& reply) {
    const std::vector<hostcall_metadata> metadata = c_metadata(reply.metadata());
    hostcall_completion completion = HOSTCALL_COMPLETION_INIT;
    completion.status = static_cast<hostcall_status>(status);
    completion.encoding = static_cast<std::uint32_t>(reply.encoding());
    completion.data = reply.data().data();
    completion.size = reply.data().size();
    completion.metadata = metadata.data();
    completion.metadata_count = metadata.size();
    const hostcall_status answer = hostcall_host_complete_with(handle(), call_id_, &completion);
    switch (answer) {
      case HOSTCALL_OK:
      case HOSTCALL_LATE:
      case HOSTCALL_DUPLICATE:
      case HOSTCALL_UNKNOWN_CALL:
      case HOSTCALL_CLOSED:
        forget();
        return static_cast<Status>(answer);
      default:
        throw Error(static_cast<Status>(answer), hostcall_last_error());
    }
  }

  /// The same with words for an error, without memory and without exceptions.
  void complete_with_text(Status status, const char* text) noexcept {
    hostcall_host_complete(handle(), call_id_, static_cast<hostcall_status>(status), text, std::strlen(text));
    forget();
  }

  bool is_completed() const noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return is_completed_;
  }

  // The end that somebody else has brought about.

  std::optional<Status> ending() const noexcept {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (ending_) return ending_;
    }
    return unheard_ending();
  }

  void ended(Status why) noexcept {
    std::vector<std::shared_ptr<Hook>> hooks;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (ending_ || is_completed_) return;
      ending_ = why;
      hooks.swap(hooks_);
      changed_.notify_all();
    }
    for (const auto& hook : hooks) hook->fire(*table_->connection(), why);
  }

  Status wait_for_ending() {
    std::unique_lock<std::mutex> lock(mutex_);
    wait(lock, [this] { return ending_ || is_completed_; });
    return ending_.value_or(Status::duplicate);
  }

  void add(const std::shared_ptr<Hook>& hook) {
    std::optional<Status> why;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!ending_ && !is_completed_) return hooks_.push_back(hook);
      why = ending_;
    }
    if (why) hook->fire(*table_->connection(), *why);
  }

  void remove(const std::shared_ptr<Hook>& hook) noexcept {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      hooks_.erase(std::remove(hooks_.begin(), hooks_.end(), hook), hooks_.end());
    }
    hook->disarm();
  }

  // Items.

  void send(std::string_view data, Encoding encoding) const {
    check(hostcall_send_item_wait(handle(), call_id_, data.data(), data.size(), static_cast<std::uint32_t>(encoding),
                                  UINT32_MAX));
  }

  void argument(const hostcall_item* item) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      if (item != nullptr) {
        arguments_.push_back(copied(*item));
      } else {
        arguments_are_over_ = true;
      }
    } catch (...) {
      failure_ = std::current_exception();
    }
    changed_.notify_all();
  }

  std::optional<Item> next_argument() {
    if ((flags_ & HOSTCALL_ARGUMENTS) == 0) return std::nullopt;
    std::unique_lock<std::mutex> lock(mutex_);
    const auto credit = std::exchange(first_credit_, 0);
    if (credit > 0) {
      lock.unlock();
      hostcall_add_credit(handle(), call_id_, credit);
      lock.lock();
    }
    wait(lock, [this] {
      return failure_ || !arguments_.empty() || arguments_are_over_ || ending_ || is_completed_;
    });
    if (failure_) std::rethrow_exception(failure_);
    if (arguments_.empty()) {
      if (arguments_are_over_) return std::nullopt;
      throw Error(Status::late, "no more arguments of the call " + std::to_string(correlation_id_) + ": it has ended");
    }
    Item item = std::move(arguments_.front());
    arguments_.pop_front();
    std::uint32_t due = 0;
    if (++taken_ >= (table_->window() + 1) / 2) due = std::exchange(taken_, 0);
    lock.unlock();
    if (due > 0) hostcall_add_credit(handle(), call_id_, due);
    return item;
  }

 private:
  hostcall_context* handle() const noexcept { return table_->connection()->handle; }

  void complete_dropped() noexcept {
    if (!is_completed()) complete_with_text(Status::failed, "the worker has dropped this call without completing it");
  }

  /// It is completed: nobody is told anything about it any more.
  void forget() noexcept {
    std::vector<std::shared_ptr<Hook>> hooks;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_completed_ = true;
      hooks.swap(hooks_);
      changed_.notify_all();
    }
    table_->remove(call_id_);
  }

  /// Whether it is over, which the library may not have been able to tell yet; why is a guess then.
  std::optional<Status> unheard_ending() const noexcept {
    switch (hostcall_call_state(handle(), call_id_)) {
      case HOSTCALL_LATE:
        return std::chrono::steady_clock::now() >= deadline_ ? Status::timeout : Status::cancelled;
      case HOSTCALL_CLOSED:
        return Status::closed;
      default:
        return std::nullopt;
    }
  }

  void look() noexcept {
    if (const std::optional<Status> why = unheard_ending()) ended(*why);
  }

  template <class Condition>
  void wait(std::unique_lock<std::mutex>& lock, Condition holds) {
    table_->connection()->wait(lock, changed_, holds, [this] { look(); });
  }

  const std::shared_ptr<InvocationTable> table_;
  const std::uint64_t call_id_;
  std::uint64_t correlation_id_ = 0;
  std::uint32_t flags_ = 0;
  std::chrono::steady_clock::time_point deadline_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Status> ending_;
  std::vector<std::shared_ptr<Hook>> hooks_;
  bool is_completed_ = false;
  bool handler_runs_ = true;
  bool is_dropped_ = false;
  std::deque<Item> arguments_;
  bool arguments_are_over_ = false;
  std::exception_ptr failure_;
  /// Not given yet: the first item that is wanted asks for them.
  std::uint32_t first_credit_ = table_->window();
  /// Items taken that no credit was given for yet.
  std::uint32_t taken_ = 0;
};

inline std::shared_ptr<Invocation> InvocationTable::find_or_make(const std::shared_ptr<InvocationTable>& self,
                                                                 std::uint64_t call_id, bool begins) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = calls_.find(call_id);
  if (found != calls_.end()) return found->second;
  // What is not here and not completed has not begun; asked under the lock, so that it cannot begin and end meanwhile.
  if (!begins && hostcall_call_state(connection_->handle, call_id) != HOSTCALL_OK) return nullptr;
  auto invocation = std::make_shared<Invocation>(self, call_id);
  calls_.emplace(call_id, invocation);
  return invocation;
}

}  // namespace detail

/// What is to be done when a call is over before it was completed, for as long as this object is there: its destructor
/// takes it back, and waits for it where it runs on another thread. So it may refer to what lives longer than this.
class [[nodiscard]] CancelHook {
 public:
  CancelHook() = default;
  CancelHook(CancelHook&& other) noexcept = default;
  CancelHook& operator=(CancelHook&& other) noexcept {
    if (this != &other) {
      remove();
      invocation_ = std::move(other.invocation_);
      hook_ = std::move(other.hook_);
    }
    return *this;
  }
  ~CancelHook() { remove(); }

 private:
  friend class Call;

  CancelHook(std::shared_ptr<detail::Invocation> invocation, std::shared_ptr<detail::Hook> hook) noexcept
      : invocation_(std::move(invocation)), hook_(std::move(hook)) {}

  void remove() noexcept {
    if (hook_) invocation_->remove(hook_);
    hook_ = nullptr;
  }

  std::shared_ptr<detail::Invocation> invocation_;
  std::shared_ptr<detail::Hook> hook_;
};

/// A call that is answered here: what a request and a completer have in common.
class Call {
 public:
  /// The number by which caller, logs and tools know the call.
  std::uint64_t correlation_id() const noexcept { return invocation_->correlation_id(); }

  /// What is left until it ends by itself; 0 at least.
  std::chrono::milliseconds time_left() const noexcept {
    const auto left = invocation_->deadline() - std::chrono::steady_clock::now();
    return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left), std::chrono::milliseconds(0));
  }

  /// Whether it is over before it was completed: by deadline, by its caller, or with the connection. Its place is free
  /// once the host function has ended all the same.
  bool cancelled() const noexcept { return invocation_->ending().has_value(); }

  /// Why it is over, if it is: timeout, cancelled, caller_lost, worker_lost or closed.
  std::optional<Status> ending() const noexcept { return invocation_->ending(); }

  /// Waits until it is over, and tells why; duplicate where it was completed meanwhile.
  Status wait_until_cancelled() const { return invocation_->wait_for_ending(); }

  /// Runs `callback`, with the Status that says why or with nothing, once the call is over before it was completed: on
  /// a thread of the library's, or here and now if it is over. What it throws is told to ContextOptions::on_uncaught().
  template <class Callback>
  CancelHook on_cancel(Callback&& callback) const {
    auto hook = std::make_shared<detail::CallbackHook<std::decay_t<Callback>>>(std::forward<Callback>(callback));
    invocation_->add(hook);
    return CancelHook(invocation_, std::move(hook));
  }

  /// Whether the caller takes result items.
  bool takes_items() const noexcept { return (invocation_->flags() & HOSTCALL_ITEMS_TAKEN) != 0; }

  /// Whether argument items come.
  bool has_arguments() const noexcept { return (invocation_->flags() & HOSTCALL_ARGUMENTS) != 0; }

  /// Sends a result item: waits while the caller has not taken what is on its way. Throws Error with late where the
  /// call is over, and with invalid_argument where the caller takes no items. One thread at a time.
  void send(std::string_view data, Encoding encoding = Encoding::raw) const { invocation_->send(data, encoding); }

  /// The next argument item: waits for it. Nothing after the last one, or where the call has none. Throws Error with
  /// late where the call has ended before.
  std::optional<Item> next_argument() const { return invocation_->next_argument(); }

 protected:
  explicit Call(std::shared_ptr<detail::Invocation> invocation) noexcept : invocation_(std::move(invocation)) {}
  Call(Call&&) noexcept = default;
  Call& operator=(Call&&) noexcept = default;
  ~Call() = default;

  std::shared_ptr<detail::Invocation> invocation_;

 private:
  template <class Options>
  friend class detail::BasicCallOptions;
};

/// A call, as its host function gets it; good until that returns.
class Request : public Call {
 public:
  Request(Request&&) = delete;
  Request& operator=(Request&&) = delete;

  /// The name that was called; where a pattern was registered it is the full name.
  std::string_view name() const noexcept { return invoked_.name; }
  /// The payload, where the library has it.
  std::string_view data() const noexcept {
    return invoked_.size == 0 ? std::string_view() : bytes(invoked_.data, invoked_.size);
  }
  Encoding encoding() const noexcept { return static_cast<Encoding>(invoked_.encoding); }
  Metadata metadata() const { return detail::copied(invoked_.metadata, invoked_.metadata_count); }
  /// Whether it may have been sent to a worker before.
  bool is_idempotent() const noexcept { return (invoked_.flags & HOSTCALL_IDEMPOTENT) != 0; }

 private:
  friend class detail::HostFunction;

  Request(std::shared_ptr<detail::Invocation> invocation, const hostcall_invocation& invoked) noexcept
      : Call(std::move(invocation)), invoked_(invoked) {}

  const hostcall_invocation& invoked_;
};

/// Completes a call, now or later, from any thread. Destroyed without, it ends its call with FAILED.
class Completer : public Call {
 public:
  Completer(Completer&&) noexcept = default;
  Completer& operator=(Completer&& other) noexcept {
    if (this != &other) {
      drop();
      Call::operator=(std::move(other));
    }
    return *this;
  }
  ~Completer() { drop(); }

  /// Ends the call with a result: ok; late where it was over before and nobody gets it; duplicate where it had been
  /// completed; closed where the context is. Throws Error with invalid_argument or invalid_utf8 where metadata or
  /// encoding cannot be sent, and the call goes on.
  Status complete(const Reply& reply = {}) { return invocation_->complete(Status::ok, reply); }

  /// Ends the call with an error; as complete(). invalid_argument also for a status that a worker may not use.
  Status fail(const Failure& failure) { return invocation_->complete(failure.status(), failure.reply()); }

 private:
  friend class detail::HostFunction;

  explicit Completer(std::shared_ptr<detail::Invocation> invocation) noexcept : Call(std::move(invocation)) {}

  void drop() noexcept {
    if (invocation_) invocation_->drop();
  }
};

namespace detail {

/// A host function: what the library has of it, until the last call of it has ended.
class HostFunction {
 public:
  explicit HostFunction(std::shared_ptr<InvocationTable> table) : table_(std::move(table)) {}
  HostFunction(const HostFunction&) = delete;
  HostFunction& operator=(const HostFunction&) = delete;
  virtual ~HostFunction() = default;

  static void on_call(hostcall_context* context, const hostcall_invocation* invoked, void* user_data) noexcept {
    auto& self = *static_cast<HostFunction*>(user_data);
    std::shared_ptr<Invocation> invocation;
    try {
      invocation = self.table_->find_or_make(self.table_, invoked->call_id, true);
    } catch (...) {
      constexpr std::string_view text = "the worker has no memory for this call";
      hostcall_host_complete(context, invoked->call_id, HOSTCALL_PANIC, text.data(), text.size());
      return;
    }
    invocation->begin(*invoked);
    try {
      Request request(invocation, *invoked);
      self.run(request);
    } catch (...) {
      self.end_with_exception(*invocation);
    }
    invocation->handler_ended();
  }

  static void on_cancel(hostcall_context*, std::uint64_t call_id, hostcall_status why, void* user_data) noexcept {
    const auto invocation = static_cast<HostFunction*>(user_data)->table_->find(call_id);
    if (invocation) invocation->ended(static_cast<Status>(why));
  }

  static void on_item(hostcall_context*, std::uint64_t call_id, const hostcall_item* item, void* user_data) noexcept {
    const auto& table = static_cast<HostFunction*>(user_data)->table_;
    table->connection()->guard([&] {
      const auto invocation = table->find_or_make(table, call_id, false);
      if (invocation) invocation->argument(item);
    });
  }

  static void on_release(void* user_data) noexcept { delete static_cast<HostFunction*>(user_data); }

 protected:
  /// Runs the handler and completes the call, or sees to it that somebody else does.
  virtual void run(Request& request) = 0;

  static void complete(Request& request, const Reply& reply) { request.invocation_->complete(Status::ok, reply); }
  static Completer completer(Request& request) { return Completer(request.invocation_); }

 private:
  /// Inside of a catch: what was thrown is how the call ends.
  void end_with_exception(Invocation& invocation) const noexcept {
    if (invocation.is_completed()) return table_->connection()->guard([] { throw; });
    try {
      try {
        throw;
      } catch (const Failure& failure) {
        invocation.complete(failure.status(), failure.reply());
      }
    } catch (const std::exception& error) {
      invocation.complete_with_text(Status::panic, error.what());
    } catch (...) {
      invocation.complete_with_text(Status::panic, "the host function has thrown something that is no std::exception");
    }
  }

  const std::shared_ptr<InvocationTable> table_;
};

template <class Handler>
class TypedHostFunction final : public HostFunction {
 public:
  template <class Given>
  TypedHostFunction(std::shared_ptr<InvocationTable> table, Given&& handler)
      : HostFunction(std::move(table)), handler_(std::forward<Given>(handler)) {}

 private:
  void run(Request& request) override {
    if constexpr (std::is_invocable_v<Handler&, Request&, Completer>) {
      std::invoke(handler_, request, completer(request));
    } else {
      static_assert(std::is_invocable_v<Handler&, Request&>,
                    "a host function takes (hostcall::Request&) or (hostcall::Request&, hostcall::Completer)");
      using Answer = std::invoke_result_t<Handler&, Request&>;
      if constexpr (std::is_void_v<Answer>) {
        std::invoke(handler_, request);
        complete(request, Reply());
      } else {
        static_assert(std::is_constructible_v<Reply, Answer>,
                      "a host function returns a std::string, a std::string_view, a hostcall::Reply or nothing");
        complete(request, Reply(std::invoke(handler_, request)));
      }
    }
  }

  Handler handler_;
};

template <class Options>
Options& BasicCallOptions<Options>::inside(const Call& call) noexcept {
  inside_ = call.invocation_->call_id();
  return self();
}

// ---------------------------------------------------------------------------------------------------------------------
// Events

/// What a subscription and the library have in common.
class EventReceiver {
 public:
  explicit EventReceiver(std::shared_ptr<const Connection> connection) : connection_(std::move(connection)) {}
  EventReceiver(const EventReceiver&) = delete;
  EventReceiver& operator=(const EventReceiver&) = delete;
  virtual ~EventReceiver() = default;

  const Connection& connection() const noexcept { return *connection_; }

  /// No event is handed on after this; one that is, by another thread, is waited for.
  void end() noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    has_ended_ = true;
    changed_.wait(lock, [this] { return !is_running_ || runner_ == std::this_thread::get_id(); });
  }

  // The library has a pointer to a pointer, so that either may be the last to let go.
  using Holder = std::shared_ptr<EventReceiver>;

  static void on_event(hostcall_context*, std::uint64_t, const hostcall_event* event, void* user_data) noexcept {
    EventReceiver& self = **static_cast<Holder*>(user_data);
    if (!self.begin()) return;
    self.connection_->guard([&] { self.run(copied(*event)); });
    self.finish();
  }

  static void on_release(void* user_data) noexcept { delete static_cast<Holder*>(user_data); }

 protected:
  virtual void run(Event event) = 0;

 private:
  static Event copied(const hostcall_event& event) {
    return {event.name,
            detail::copied(event.data, event.size),
            static_cast<Encoding>(event.encoding),
            detail::copied(event.metadata, event.metadata_count),
            event.dropped_before,
            event.follows_gap != 0};
  }

  bool begin() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (has_ended_) return false;
    is_running_ = true;
    runner_ = std::this_thread::get_id();
    return true;
  }

  void finish() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_running_ = false;
    changed_.notify_all();
  }

  const std::shared_ptr<const Connection> connection_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_ended_ = false;
  bool is_running_ = false;
  std::thread::id runner_;
};

template <class Callback>
class TypedEventReceiver final : public EventReceiver {
 public:
  template <class Given>
  TypedEventReceiver(std::shared_ptr<const Connection> connection, Given&& callback)
      : EventReceiver(std::move(connection)), callback_(std::forward<Given>(callback)) {}

 private:
  void run(Event event) override { std::invoke(callback_, std::move(event)); }

  Callback callback_;
};

}  // namespace detail

/// A subscription, for as long as this object is there. Its destructor waits for a callback that runs on another
/// thread, and none runs after it.
class [[nodiscard]] Subscription {
 public:
  Subscription() = default;
  Subscription(Subscription&& other) noexcept
      : receiver_(std::move(other.receiver_)), number_(std::exchange(other.number_, 0)) {}
  Subscription& operator=(Subscription&& other) noexcept {
    if (this != &other) {
      unsubscribe();
      receiver_ = std::move(other.receiver_);
      number_ = std::exchange(other.number_, 0);
    }
    return *this;
  }
  ~Subscription() { unsubscribe(); }

  /// What the destructor does, now.
  void unsubscribe() noexcept {
    if (!receiver_) return;
    hostcall_unsubscribe(receiver_->connection().handle, number_);
    receiver_->end();
    receiver_ = nullptr;
  }

 private:
  friend class Context;

  std::shared_ptr<detail::EventReceiver> receiver_;
  std::uint64_t number_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------
// Contexts

/// One connection to a daemon, or one bridge of one's own, with everything that belongs to it.
class Context {
 public:
  /// Connects to a daemon and waits for its welcome. Throws Error with cannot_connect, which says which socket was
  /// tried.
  static Context connect(const ContextOptions& options = {}) { return Context(options, hostcall_connect); }

  /// Opens a bridge in this process: what a daemon does, without one. Host functions of this context, and of processes
  /// that connect to its socket, can be called from here and from there, with the same rules.
  static Context open(const ContextOptions& options = {}) { return Context(options, hostcall_open); }

  Context(Context&& other) noexcept = default;
  Context& operator=(Context&& other) noexcept {
    if (this != &other) {
      close();
      connection_ = std::move(other.connection_);
    }
    return *this;
  }
  ~Context() { close(); }

  /// Ends it at once: calls under way end with closed, and what host functions answer from now on goes nowhere. When
  /// this returns, no callback runs or will, and host functions and subscriptions are destroyed; inside of a callback
  /// it does not wait for that one, whose end is then the end. A second time does nothing.
  void close() noexcept {
    if (connection_) hostcall_close(connection_->handle);
  }

  /// Leaves in good order: takes no new calls, waits until those that run are completed and their results are sent, for
  /// at most so long, and closes. False where that was cut short; it is closed then, too.
  bool shutdown(std::chrono::milliseconds grace) {
    const hostcall_status status = hostcall_shutdown(handle(), detail::milliseconds(grace));
    if (status == HOSTCALL_TIMEOUT) return false;
    detail::check(status);
    return true;
  }

  /// Waits until the daemon has answered: it has then seen everything that was sent before.
  void ping() const { detail::check(hostcall_ping(handle())); }

  /// For a polled context: a descriptor that is readable while callbacks wait for poll(). It is the context's; do not
  /// read or close it.
  int poll_fd() const {
    const int descriptor = hostcall_poll_fd(handle());
    if (descriptor < 0) throw Error(Status::invalid_argument, hostcall_last_error());
    return descriptor;
  }

  /// For a polled context: runs the callbacks that wait, on this thread, and gives their number. Where none waits,
  /// waits for one so long; without end where that is negative.
  std::uint32_t poll(std::chrono::milliseconds timeout = std::chrono::milliseconds(0)) const {
    std::uint32_t callbacks = 0;
    const auto milliseconds = std::clamp<std::chrono::milliseconds::rep>(timeout.count(), -1, INT32_MAX);
    detail::check(hostcall_poll(handle(), static_cast<std::int32_t>(milliseconds), &callbacks));
    return callbacks;
  }

  /// For functions of hostcall.h; it stays this object's.
  hostcall_context* native() const { return handle(); }

  // Calling. Each throws Error with invalid_argument, closed and so on where nothing was begun.

  /// Begins a call; the future brings its reply, or Error. Leaving the future alone leaves the call alone.
  std::future<Reply> call(std::string_view name, std::string_view payload = {}, const CallOptions& options = {}) const {
    return start(name, payload, options).future();
  }

  /// The same, to be cancelled, and waited for in a polled context.
  PendingCall start(std::string_view name, std::string_view payload = {}, const CallOptions& options = {}) const {
    auto receiver = std::make_unique<detail::PromiseReceiver>();
    PendingCall pending(connection_, receiver->promise.get_future());
    pending.handle_ = begin(name, payload, options, 0, std::move(receiver));
    return pending;
  }

  /// The same with a callback that takes the Outcome, and runs once. What it throws is told to
  /// ContextOptions::on_uncaught().
  template <class Callback>
  CallHandle call(std::string_view name, std::string_view payload, const CallOptions& options,
                  Callback&& callback) const {
    using Receiver = detail::CallbackReceiver<std::decay_t<Callback>>;
    return begin(name, payload, options, 0,
                 std::make_unique<Receiver>(connection_, std::forward<Callback>(callback)));
  }

  /// Makes a call and waits for its reply. Throws Error where it ends otherwise.
  Reply call_wait(std::string_view name, std::string_view payload = {}, const CallOptions& options = {}) const {
    const CallArguments arguments(name, options);
    OwnedResult result;
    const hostcall_status status = hostcall_call_wait(handle(), arguments.name.c_str(), &arguments.options,
                                                      payload.data(), payload.size(), &result.value);
    if (status == HOSTCALL_OK) return Reply(result.value);
    if (result.value.message != nullptr) throw Error(result.value);
    throw Error(static_cast<Status>(status), hostcall_last_error());
  }

  /// Makes a call whose result nobody wants, whatever happens, and does not wait.
  void send(std::string_view name, std::string_view payload = {}, const CallOptions& options = {}) const {
    CallArguments arguments(name, options);
    arguments.options.flags |= HOSTCALL_NO_REPLY;
    detail::check(hostcall_call(handle(), arguments.name.c_str(), &arguments.options, payload.data(), payload.size(),
                                nullptr, nullptr, nullptr));
  }

  /// Begins a call with result items, argument items, or both.
  Stream stream(std::string_view name, std::string_view payload = {}, const StreamOptions& options = {}) const {
    auto state = std::make_shared<detail::StreamState>(connection_);
    auto receiver = std::make_unique<detail::StreamReceiver>(state);
    const CallHandle begun = begin(name, payload, options, options.window_, std::move(receiver));
    return Stream(std::move(state), begun, options.window_);
  }

  // Serving.

  /// Registers a host function under a name or pattern such as "files.*", and waits for the daemon's answer.
  ///
  /// `handler` takes a Request& and returns the result: a std::string, a Reply, or nothing. It runs on several threads
  /// at once, up to the concurrency. What it throws ends its call: Failure as it says, anything else with PANIC and
  /// what().
  ///
  /// Or it takes a Request& and a Completer, by which the call is completed at any time and anywhere; what it returns
  /// is ignored.
  ///
  /// `handler` is destroyed once, after its last call: when it was unregistered or replaced, or the context is closed.
  template <class Handler>
  void handle(std::string_view name, Handler&& handler, const HandleOptions& options = {}) const {
    auto table = std::make_shared<detail::InvocationTable>(connection_, options.window_);
    auto function = std::make_unique<detail::TypedHostFunction<std::decay_t<Handler>>>(
        std::move(table), std::forward<Handler>(handler));
    add(name, options, std::move(function));
  }

  /// Ends a registration and does not wait: calls that were on their way still come, and what runs goes on. Throws
  /// Error with not_found where this context has no such name.
  void unregister(std::string_view name) const {
    detail::check(hostcall_unregister_host_fn(handle(), detail::c_text(name, "the name").c_str()));
  }

  // Events.

  /// Subscribes to a name, a pattern such as "door.*", or "*", and waits for the daemon's answer. `callback` takes an
  /// Event, one after another; what it throws is told to ContextOptions::on_uncaught(). Where it is slower than the
  /// events, the oldest that wait are dropped: past 1,024, or 8 MiB.
  template <class Callback>
  Subscription subscribe(std::string_view pattern, Callback&& callback) const {
    using Receiver = detail::TypedEventReceiver<std::decay_t<Callback>>;
    Subscription subscription;
    subscription.receiver_ = std::make_shared<Receiver>(connection_, std::forward<Callback>(callback));
    add(pattern, subscription);
    return subscription;
  }

  /// Publishes an event, waits for the daemon's answer, and gives the number of its subscribers.
  std::uint32_t publish(std::string_view name, std::string_view payload = {},
                        const PublishOptions& options = {}) const {
    std::uint32_t subscribers = 0;
    publish(name, payload, options, &subscribers);
    return subscribers;
  }

  /// Publishes an event and does not wait: the daemon may refuse it without a word.
  void notify(std::string_view name, std::string_view payload = {}, const PublishOptions& options = {}) const {
    publish(name, payload, options, nullptr);
  }

 private:
  /// A result of the library's that is this program's to free.
  struct OwnedResult {
    hostcall_result value = HOSTCALL_RESULT_INIT;

    OwnedResult() = default;
    OwnedResult(const OwnedResult&) = delete;
    OwnedResult& operator=(const OwnedResult&) = delete;
    ~OwnedResult() { hostcall_result_free(&value); }
  };

  /// What the library wants of a call's options; it refers to them.
  struct CallArguments {
    template <class Options>
    CallArguments(std::string_view given_name, const detail::BasicCallOptions<Options>& given)
        : name(detail::c_text(given_name, "the name")), metadata(detail::c_metadata(given.metadata_)) {
      options.timeout_milliseconds = given.timeout_milliseconds_;
      options.encoding = static_cast<std::uint32_t>(given.encoding_);
      options.flags = given.flags_;
      options.metadata = metadata.data();
      options.metadata_count = metadata.size();
      options.inside = given.inside_;
    }
    CallArguments(const CallArguments&) = delete;
    CallArguments& operator=(const CallArguments&) = delete;

    const std::string name;
    const std::vector<hostcall_metadata> metadata;
    hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  };

  using Open = hostcall_status (*)(const hostcall_context_options*, hostcall_context**);

  Context(const ContextOptions& options, Open begins) {
    detail::check(hostcall_check_abi(HOSTCALL_ABI_VERSION));
    const std::string path = detail::c_text(options.socket_path_.value_or(""), "the socket's path");
    const std::string name = detail::c_text(options.client_name_.value_or(""), "the client's name");
    hostcall_context_options given = HOSTCALL_CONTEXT_OPTIONS_INIT;
    if (options.socket_path_) given.socket_path = path.c_str();
    if (options.client_name_) given.client_name = name.c_str();
    given.connect_timeout_milliseconds = options.connect_timeout_milliseconds_;
    given.thread_limit = options.thread_limit_;
    if (options.is_polled_) given.flags |= HOSTCALL_POLLED;
    if (!options.reconnects_) given.flags |= HOSTCALL_NO_RECONNECT;
    auto connection = std::make_shared<detail::Connection>();
    connection->is_polled = options.is_polled_;
    connection->on_uncaught = options.on_uncaught_;
    detail::check(begins(&given, &connection->handle));
    connection_ = std::move(connection);
  }

  hostcall_context* handle() const {
    if (!connection_) throw Error(Status::closed, "this context was moved elsewhere");
    return connection_->handle;
  }

  template <class Options>
  CallHandle begin(std::string_view name, std::string_view payload, const Options& given, std::uint32_t credit,
                   std::unique_ptr<detail::ResultReceiver> receiver) const {
    CallArguments arguments(name, given);
    arguments.options.item_credit = credit;
    if (credit > 0) arguments.options.on_item = detail::ResultReceiver::on_item;
    CallHandle call;
    call.context_ = handle();
    detail::check(hostcall_call(call.context_, arguments.name.c_str(), &arguments.options, payload.data(),
                                payload.size(), detail::ResultReceiver::on_result, receiver.get(), &call.request_));
    // The library has it, and by now it may even be gone.
    static_cast<void>(receiver.release());
    return call;
  }

  void add(std::string_view name, const HandleOptions& options, std::unique_ptr<detail::HostFunction> function) const {
    hostcall_function_options given = HOSTCALL_FUNCTION_OPTIONS_INIT;
    given.concurrency = options.concurrency_;
    given.timeout_milliseconds = options.timeout_milliseconds_;
    given.mode = static_cast<std::uint32_t>(options.mode_);
    given.flags = options.flags_;
    given.on_cancel = detail::HostFunction::on_cancel;
    given.on_item = detail::HostFunction::on_item;
    detail::check(hostcall_register_host_fn(handle(), detail::c_text(name, "the name").c_str(), &given,
                                            detail::HostFunction::on_call, function.get(),
                                            detail::HostFunction::on_release));
    static_cast<void>(function.release());
  }

  void add(std::string_view pattern, Subscription& subscription) const {
    auto holder = std::make_unique<detail::EventReceiver::Holder>(subscription.receiver_);
    detail::check(hostcall_subscribe(handle(), detail::c_text(pattern, "the pattern").c_str(),
                                     detail::EventReceiver::on_event, holder.get(), detail::EventReceiver::on_release,
                                     &subscription.number_));
    static_cast<void>(holder.release());
  }

  void publish(std::string_view name, std::string_view payload, const PublishOptions& options,
               std::uint32_t* subscribers) const {
    const std::string text = detail::c_text(name, "the name");
    const std::vector<hostcall_metadata> metadata = detail::c_metadata(options.metadata_);
    hostcall_publish_options given = HOSTCALL_PUBLISH_OPTIONS_INIT;
    given.encoding = static_cast<std::uint32_t>(options.encoding_);
    given.metadata = metadata.data();
    given.metadata_count = metadata.size();
    detail::check(
        hostcall_publish(handle(), text.c_str(), &given, payload.data(), payload.size(), subscribers));
  }

  std::shared_ptr<const detail::Connection> connection_;
};

}  // namespace hostcall

#endif
