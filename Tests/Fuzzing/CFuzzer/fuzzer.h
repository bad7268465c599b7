#pragma once

#include <stddef.h>
#include <stdint.h>

// libFuzzer as a library: it is linked by -sanitize=fuzzer, and has no header of its own.
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));
