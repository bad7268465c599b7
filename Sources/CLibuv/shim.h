#pragma once

#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <uv.h>

// glibc declares these only with _GNU_SOURCE, which a Swift package cannot define for a system library, or in headers
// that its module leaves out.
extern int pthread_setname_np(pthread_t thread, const char *name);
extern int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int descriptors[2], int flags);
extern int memfd_create(const char *name, unsigned int flags);
extern int pidfd_open(pid_t process, unsigned int flags);
extern int pidfd_send_signal(int process, int signal, siginfo_t *information, unsigned int flags);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
