#include "support.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void gate_raise(gate *gate) {
  pthread_mutex_lock(&gate->mutex);
  gate->count++;
  pthread_cond_broadcast(&gate->condition);
  pthread_mutex_unlock(&gate->mutex);
}

static bool gate_reaches(gate *gate, int count) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 60;
  pthread_mutex_lock(&gate->mutex);
  int code = 0;
  while (gate->count < count && code == 0) code = pthread_cond_timedwait(&gate->condition, &gate->mutex, &end);
  bool reached = gate->count >= count;
  pthread_mutex_unlock(&gate->mutex);
  return reached;
}

void gate_wait(gate *gate, int count) {
  if (!gate_reaches(gate, count)) fail_msg("%d of %d have come within a minute", gate_count(gate), count);
}

void gate_wait_inside(gate *gate, int count) { (void)gate_reaches(gate, count); }

int gate_count(gate *gate) {
  pthread_mutex_lock(&gate->mutex);
  int count = gate->count;
  pthread_mutex_unlock(&gate->mutex);
  return count;
}

hostcall_context *open_context(uint32_t flags) {
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.flags = flags;
  hostcall_context *context = NULL;
  expect_ok(hostcall_open(&options, &context));
  return context;
}

void expect_status(hostcall_status found, hostcall_status expected, const char *what, int line) {
  if (found == expected) return;
  fail_msg("line %d: %s is %s, not %s: %s", line, what, hostcall_status_name(found), hostcall_status_name(expected),
           hostcall_last_error());
}

void echo(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, invocation->data, invocation->size);
}

void raise_when_released(void *user_data) { gate_raise(user_data); }

char *make_folder(void) {
  char *folder = strdup("/tmp/hostcall-test-XXXXXX");
  assert_non_null(mkdtemp(folder));
  return folder;
}

void remove_folder(char *folder) {
  char command[256];
  snprintf(command, sizeof command, "rm -r '%s'", folder);
  assert_int_equal(system(command), 0);
  free(folder);
}

void daemon_start(daemon_process *daemon, const char *folder) {
  const char *program = getenv("HOSTCALLD");
  if (program == NULL) fail_msg("set HOSTCALLD to the path of hostcalld");
  snprintf(daemon->socket, sizeof daemon->socket, "%s/s", folder);
  daemon->process = fork();
  assert_true(daemon->process >= 0);
  if (daemon->process == 0) {
    char log[160];
    snprintf(log, sizeof log, "%s/log", folder);
    if (freopen(log, "a", stderr) == NULL) _exit(1);
    execl(program, program, "--socket", daemon->socket, (char *)NULL);
    _exit(127);
  }
  hostcall_context *context = NULL;
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = daemon->socket;
  for (int tries = 0; tries < 6000; tries++) {
    if (hostcall_connect(&options, &context) == HOSTCALL_OK) {
      expect_ok(hostcall_close(context));
      return;
    }
    if (waitpid(daemon->process, NULL, WNOHANG) != 0) break;
    usleep(10000);
  }
  fail_msg("%s has not begun to listen: %s", program, hostcall_last_error());
}

void daemon_end(daemon_process *daemon, int signal) {
  assert_int_equal(kill(daemon->process, signal), 0);
  assert_int_equal(waitpid(daemon->process, NULL, 0), daemon->process);
}

hostcall_context *connect_context(const daemon_process *daemon, uint32_t flags) {
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = daemon->socket;
  options.client_name = "tests/1";
  options.flags = flags;
  hostcall_context *context = NULL;
  expect_ok(hostcall_connect(&options, &context));
  return context;
}
