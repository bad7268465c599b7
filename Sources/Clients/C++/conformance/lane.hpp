// Jobs that run one after another on a thread of their own.
#ifndef HOSTCALL_CONFORMANCE_LANE_HPP
#define HOSTCALL_CONFORMANCE_LANE_HPP

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

/// Begins its thread with the first job; its destructor waits for the last.
class Lane {
 public:
  using Job = std::function<void()>;

  Lane() = default;
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  void run(Job job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_all();
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }

 private:
  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return is_over_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool is_over_ = false;
  std::thread thread_;
};

#endif
