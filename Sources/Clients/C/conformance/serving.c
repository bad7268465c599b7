/* Calls that the agent answers, once it is told how. */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

/* The invocations that run, by their numbers in the library. */
static pthread_mutex_t running_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct running {
  struct running *next;
  uint64_t call_id;
  thing *thing;
} *running;

static thing *running_find(uint64_t call_id) {
  pthread_mutex_lock(&running_mutex);
  struct running *found = running;
  while (found != NULL && found->call_id != call_id) found = found->next;
  pthread_mutex_unlock(&running_mutex);
  return found == NULL ? NULL : found->thing;
}

static void invoked(hostcall_context *used, const hostcall_invocation *invocation, void *user_data) {
  (void)used;
  thing *registration = user_data;
  thing_lock(registration);
  char tag[64];
  snprintf(tag, sizeof tag, "%.50s.%d", registration->tag, ++registration->invocations);
  registration->running++;
  thing_unlock(registration);
  thing *thing = thing_make(tag);
  thing->id = invocation->call_id;
  thing->is_served = true;
  thing->registration = registration;
  struct running *entry = malloc(sizeof *entry);
  if (entry == NULL) abort();
  entry->call_id = invocation->call_id;
  entry->thing = thing;
  pthread_mutex_lock(&running_mutex);
  entry->next = running;
  running = entry;
  pthread_mutex_unlock(&running_mutex);
  report *report = report_begin(registration->tag, "invoke");
  report_text(report, " call=%s name=%s", tag, invocation->name);
  report_bytes(report, "payload", invocation->data, invocation->size);
  report_text(report, " encoding=%u left=%u correlation=%llu", invocation->encoding, invocation->timeout_milliseconds,
              (unsigned long long)invocation->correlation_id);
  report_metadata(report, invocation->metadata, invocation->metadata_count);
  report_end(report);
  if ((invocation->flags & HOSTCALL_ARGUMENTS) == 0) {
    thing_lock(thing);
    thing->items_end = true;
    thing_tell(thing);
    thing_unlock(thing);
  }
  /* It may have been over before it could be found. */
  if (hostcall_call_state(context, invocation->call_id) == HOSTCALL_LATE) {
    thing_lock(thing);
    if (!thing->is_over) {
      thing->is_over = true;
      thing->why = HOSTCALL_CANCELLED;
      report_word(thing->tag, "cancelled");
    }
    thing_unlock(thing);
  }
}

static void cancelled(hostcall_context *used, uint64_t call_id, hostcall_status why, void *user_data) {
  (void)used, (void)user_data;
  thing *thing = running_find(call_id);
  if (thing == NULL) return;
  thing_lock(thing);
  if (!thing->is_over) {
    thing->is_over = true;
    thing->why = why;
    report_word(thing->tag, "cancelled");
    thing_send(thing);
    thing_tell(thing);
  }
  thing_unlock(thing);
}

static void argument_came(hostcall_context *used, uint64_t id, const hostcall_item *item, void *user_data) {
  (void)user_data;
  thing *thing = running_find(id);
  if (thing != NULL) thing_item_came(used, id, item, thing);
}

static void has_room(hostcall_context *used, uint64_t id, void *user_data) {
  (void)user_data;
  thing *thing = running_find(id);
  if (thing != NULL) thing_has_room(used, id, thing);
}

/* The daemon has answered that nothing of it comes any more, or the context is over. */
static void released(void *user_data) {
  thing *thing = user_data;
  thing_lock(thing);
  bool is_told = thing->was_cancelled;
  thing_unlock(thing);
  if (is_told) report_word(thing->tag, "done");
}

void begin_registration(command *command) {
  thing *thing = thing_make(command->tag);
  hostcall_function_options options = HOSTCALL_FUNCTION_OPTIONS_INIT;
  options.concurrency = command_number(command, "concurrency");
  options.timeout_milliseconds = command_number(command, "timeout");
  const char *mode = command_text(command, "mode");
  if (mode != NULL && strcmp(mode, "exclusive") == 0) options.mode = HOSTCALL_EXCLUSIVE;
  if (mode != NULL && strcmp(mode, "replace") == 0) options.mode = HOSTCALL_REPLACE;
  if (command_says(command, "idempotent")) options.flags |= HOSTCALL_IDEMPOTENT;
  if (command_says(command, "caller")) options.flags |= HOSTCALL_CALLER_IDENTITY;
  options.on_cancel = cancelled;
  options.on_item = argument_came;
  options.on_room = has_room;
  snprintf(thing->name, sizeof thing->name, "%s", command_text(command, "name"));
  report_status(command->tag,
                hostcall_register_host_fn(context, command_text(command, "name"), &options, invoked, thing, released));
}

void end_registration(command *command) {
  thing *thing = thing_find(command->tag);
  thing_lock(thing);
  bool runs = thing->running > 0;
  thing->was_cancelled = !runs;
  thing_unlock(thing);
  hostcall_status status = hostcall_unregister_host_fn(context, thing->name);
  /* What runs is released later; the daemon has seen it by its answer to something else. */
  if (status == HOSTCALL_OK && runs) status = hostcall_ping(context);
  if (status != HOSTCALL_OK || runs) report_status(command->tag, status);
}

static hostcall_status status_named(const char *name) {
  if (name == NULL) return HOSTCALL_OK;
  for (int status = 0; status < 128; status++) {
    if (strcmp(hostcall_status_name(status), name) == 0 && (status == HOSTCALL_UNKNOWN || strcmp(name, "UNKNOWN") != 0)) {
      return status;
    }
  }
  return atoi(name);
}

static void complete(thing *thing, const hostcall_completion *completion) {
  hostcall_status status = hostcall_host_complete_with(context, thing->id, completion);
  thing_lock(thing->registration);
  thing->registration->running--;
  thing_unlock(thing->registration);
  if (status == HOSTCALL_OK || status == HOSTCALL_LATE) report_word(thing->tag, "completed");
  else report_status(thing->tag, status);
}

void complete_call(command *command) {
  content *content = content_read(command);
  hostcall_completion completion = HOSTCALL_COMPLETION_INIT;
  completion.status = status_named(command_text(command, "status"));
  completion.encoding = content->encoding;
  completion.data = content->data;
  completion.size = content->size;
  completion.metadata = content->metadata;
  completion.metadata_count = content->metadata_count;
  complete(thing_find(command->tag), &completion);
  content_free(content);
}

void raise_error(command *command) {
  hostcall_completion completion = HOSTCALL_COMPLETION_INIT;
  const char *hexadecimal = command_text(command, "message");
  char text[1024];
  size_t size = 0;
  for (unsigned byte; hexadecimal != NULL && size < sizeof text && sscanf(hexadecimal, "%2x", &byte) == 1;
       hexadecimal += 2) {
    text[size++] = (char)byte;
  }
  completion.status = HOSTCALL_FAILED;
  completion.data = text;
  completion.size = size;
  complete(thing_find(command->tag), &completion);
}
