// A worker in C++: serves hop.cpp, which hands a call on from language to language.
// Usage: demo_worker [SOCKET]

#include <hostcall.hpp>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <string>

namespace {

/// How long calls that run may take when the worker is told to leave.
constexpr auto leaving_grace = std::chrono::seconds(10);

/// The payload is words. `end` is answered by this worker's own line; `hold` waits until the call is cancelled; any
/// other word is the language that the rest of the words is handed to, whose answer comes after the own line.
std::string hop(const hostcall::Context& context, hostcall::Request& request) {
  const std::string own_line = "cpp call=" + std::to_string(request.correlation_id()) +
                               " left=" + std::to_string(request.time_left().count()) + "\n";
  const std::string_view words = request.data();
  const std::string_view first = words.substr(0, words.find(' '));
  if (first == "end") return own_line;
  if (first == "hold") {
    request.wait_until_cancelled();
    context.notify("hop.cancelled", own_line);
    throw hostcall::Failure(hostcall::Status::cancelled);
  }
  const std::string_view rest = first.size() < words.size() ? words.substr(first.size() + 1) : "";
  // What is left of this call's time, and its trace, go with the inner call by themselves; its end does by the hook.
  auto inner = context.start("hop." + std::string(first), rest);
  const auto hook = request.on_cancel([handle = inner.handle()] { handle.cancel(); });
  return own_line + inner.get().data();
}

}  // namespace

int main(int count, char** arguments) {
  // Before there is any other thread, so that none of them takes the signal.
  sigset_t leaving;
  sigemptyset(&leaving);
  sigaddset(&leaving, SIGTERM);
  sigaddset(&leaving, SIGINT);
  pthread_sigmask(SIG_BLOCK, &leaving, nullptr);

  try {
    hostcall::ContextOptions options;
    options.client_name("hostcall-demo-worker-cpp");
    if (count > 1) options.socket_path(arguments[1]);
    auto context = hostcall::Context::connect(options);
    context.handle("hop.cpp", [&context](hostcall::Request& request) { return hop(context, request); });
    std::cout << "ready" << std::endl;

    int signal = 0;
    sigwait(&leaving, &signal);
    context.shutdown(leaving_grace);
  } catch (const hostcall::Error& error) {
    std::fprintf(stderr, "demo_worker: %s\n", error.what());
    return 1;
  }
  return 0;
}
