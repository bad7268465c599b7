// Memory that runs out when a test wants it to.
#ifndef HOSTCALL_TESTS_NO_MEMORY_HPP
#define HOSTCALL_TESTS_NO_MEMORY_HPP

#include <cstddef>

namespace tests {

/// Allocations of so many bytes are payloads; nothing else in the tests is that large.
constexpr std::size_t large_bytes = 6 * 1'024 * 1'024;

/// While it is there, there is no memory for payloads.
class NoMemory {
 public:
  NoMemory();
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
  ~NoMemory();
};

}  // namespace tests

#endif
