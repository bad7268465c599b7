/* What the tests share: gates for threads, folders, daemons. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>
#include <hostcall.h>

/* A count that threads raise and wait for. */
typedef struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int count;
} gate;
#define GATE_INIT { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

void gate_raise(gate *gate);
/* Waits until the count is so high; fails the test after a minute. On the test's own thread. */
void gate_wait(gate *gate, int count);
/* The same for callbacks, which cannot fail a test: gives up without a word. */
void gate_wait_inside(gate *gate, int count);
int gate_count(gate *gate);

/* A context with a bridge of its own. */
hostcall_context *open_context(uint32_t flags);

/* Fails the test where a function has returned something else, with the thread's last error. */
void expect_status(hostcall_status found, hostcall_status expected, const char *what, int line);
#define expect_is(call, expected) expect_status((call), (expected), #call, __LINE__)
#define expect_ok(call) expect_is(call, HOSTCALL_OK)

/* Completes a call with its own payload, at once. */
void echo(hostcall_context *context, const hostcall_invocation *invocation, void *user_data);

/* Raises the gate that is its user data. */
void raise_when_released(void *user_data);

/* A folder that is removed with what is in it. */
char *make_folder(void);
void remove_folder(char *folder);

/* A hostcalld of its own, from the environment variable HOSTCALLD, at `socket`. */
typedef struct daemon_process {
  char socket[128];
  pid_t process;
} daemon_process;
void daemon_start(daemon_process *daemon, const char *folder);
void daemon_end(daemon_process *daemon, int signal);

/* A context that is connected to a daemon. */
hostcall_context *connect_context(const daemon_process *daemon, uint32_t flags);

typedef struct test_group {
  const char *name;
  const struct CMUnitTest *tests;
  size_t count;
} test_group;

extern const test_group misuse_tests, call_tests, function_tests, stream_tests, event_tests, polled_tests, daemon_tests,
    memory_tests;

#endif
