// The program's own operator new, in a file of its own: a compiler that sees it beside its uses makes nothing of it.
#include "no_memory.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> large_ones_fail{false};

}  // namespace

tests::NoMemory::NoMemory() { large_ones_fail = true; }
tests::NoMemory::~NoMemory() { large_ones_fail = false; }

void* operator new(std::size_t size) {
  void* memory = size >= tests::large_bytes && large_ones_fail ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
