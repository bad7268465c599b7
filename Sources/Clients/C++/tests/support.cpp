#include "support.hpp"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tests {

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "hostcall-cpp-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Daemon::Daemon() { begin(); }

Daemon::~Daemon() { end(SIGTERM); }

void Daemon::restart() {
  end(SIGKILL);
  begin();
}

void Daemon::begin() {
  const char* program = std::getenv("HOSTCALLD");
  if (program == nullptr) throw std::runtime_error("set HOSTCALLD to the path of hostcalld");
  const std::string path = socket_path();
  process_ = fork();
  if (process_ < 0) throw std::runtime_error("cannot start a process");
  if (process_ == 0) {
    const int nowhere = ::open("/dev/null", O_RDWR);
    for (int descriptor = 0; descriptor <= 2; ++descriptor) dup2(nowhere, descriptor);
    execl(program, program, "--socket", path.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  // It tells nobody when it listens: ask until it answers.
  const auto end = std::chrono::steady_clock::now() + generous;
  while (true) {
    try {
      connect();
      return;
    } catch (const hostcall::Error&) {
      if (std::chrono::steady_clock::now() > end || waitpid(process_, nullptr, WNOHANG) != 0) throw;
    }
  }
}

void Daemon::end(int signal) {
  kill(process_, signal);
  waitpid(process_, nullptr, 0);
}

hostcall::Context Daemon::connect(const std::string& client_name) const {
  return hostcall::Context::connect(hostcall::ContextOptions().socket_path(socket_path()).client_name(client_name));
}

}  // namespace tests
