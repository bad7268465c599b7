/* The conformance agent of the C interface: does with libhostcall what the driver says. */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

hostcall_context *context;

static const char *socket_path;

static void connect_context(command *command) {
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = socket_path;
  options.client_name = "agent-c/1";
  report_status(command->tag, hostcall_connect(&options, &context));
}

static void ping(command *command) { report_status(command->tag, hostcall_ping(context)); }

static void close_context(command *command) {
  things_release();
  report_status(command->tag, hostcall_close(context));
}

static void shut_down(command *command) {
  things_release();
  report_status(command->tag, hostcall_shutdown(context, 60000));
}

/* Takes items or events. */
static void take(command *command) {
  thing *thing = thing_find(command->tag);
  thing_lock(thing);
  uint32_t count = command_number(command, "count");
  thing->wanted += count;
  if (thing->is_served && !thing->items_end && !thing->is_over) hostcall_add_credit(context, thing->id, count);
  thing_tell(thing);
  pthread_cond_broadcast(&thing->condition);
  thing_unlock(thing);
}

static void send_item(command *command) {
  thing *thing = thing_find(command->tag);
  content *content = content_read(command);
  thing_lock(thing);
  bool waits = thing->sending.first != NULL;
  queue_append(&thing->sending, content->data, content->size, content->encoding);
  if (!waits) thing_send(thing);
  thing_unlock(thing);
  content_free(content);
}

static void end_items(command *command) {
  thing *thing = thing_find(command->tag);
  thing_lock(thing);
  thing->ends_sending = true;
  if (thing->sending.first == NULL) thing_send(thing);
  thing_unlock(thing);
}

static void cancel(command *command) { cancel_call(command->tag); }

/* What may wait has a thread of its own; what follows a call in order must not. */
static const struct {
  const char *word;
  void (*run)(command *command);
  bool may_wait;
} actions[] = {
    {"connect", connect_context, false}, {"ping", ping, true},
    {"close", close_context, true},      {"shutdown", shut_down, true},
    {"call", begin_call, false},         {"take", take, false},
    {"send", send_item, false},          {"end", end_items, false},
    {"cancel", cancel, false},           {"register", begin_registration, true},
    {"complete", complete_call, false},  {"raise", raise_error, false},
    {"unregister", end_registration, true}, {"subscribe", begin_subscription, true},
    {"unsubscribe", end_subscription, true}, {"publish", publish_event, true},
    {"bench", run_bench, true},
};

typedef struct task {
  command *command;
  void (*run)(command *command);
} task;

static void *run_task(void *argument) {
  task *task = argument;
  task->run(task->command);
  command_free(task->command);
  free(task);
  return NULL;
}

static void perform(const char *line) {
  command *command = command_read(line);
  for (size_t index = 0; index < sizeof actions / sizeof *actions; index++) {
    if (strcmp(command->word, actions[index].word) != 0) continue;
    if (!actions[index].may_wait) {
      actions[index].run(command);
      command_free(command);
      return;
    }
    task *task = malloc(sizeof *task);
    if (task == NULL) abort();
    task->command = command;
    task->run = actions[index].run;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_task, task) != 0) abort();
    pthread_detach(thread);
    return;
  }
  misunderstood("there is no such command", line);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: agent SOCKET\n");
    return 64;
  }
  socket_path = arguments[1];
  if (hostcall_check_abi(HOSTCALL_ABI_VERSION) != HOSTCALL_OK) {
    fprintf(stderr, "agent: %s\n", hostcall_last_error());
    return 1;
  }
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, stdin) > 0) perform(line);
  free(line);
  things_release();
  hostcall_close(context);
  return 0;
}
