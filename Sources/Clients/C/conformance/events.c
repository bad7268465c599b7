/* Events that the agent subscribes to and publishes. */
#include "agent.h"

#include <string.h>

static void event_came(hostcall_context *used, uint64_t subscription, const hostcall_event *event, void *user_data) {
  (void)used, (void)subscription;
  thing *thing = user_data;
  thing_lock(thing);
  /* While it waits in here, the library keeps those that follow. */
  while (thing->is_held && thing->wanted == 0) pthread_cond_wait(&thing->condition, &thing->mutex);
  if (thing->wanted > 0) thing->wanted--;
  report *report = report_begin(thing->tag, "event");
  report_text(report, " name=%s", event->name);
  report_bytes(report, "payload", event->data, event->size);
  report_text(report, " encoding=%u dropped=%llu", event->encoding, (unsigned long long)event->dropped_before);
  if (event->follows_gap) report_text(report, " gap=yes");
  report_metadata(report, event->metadata, event->metadata_count);
  report_end(report);
  thing_unlock(thing);
}

void begin_subscription(command *command) {
  thing *thing = thing_make(command->tag);
  thing->is_held = command_says(command, "held");
  uint64_t subscription = 0;
  hostcall_status status =
      hostcall_subscribe(context, command_text(command, "name"), event_came, thing, NULL, &subscription);
  thing_lock(thing);
  thing->id = subscription;
  thing_unlock(thing);
  report_status(command->tag, status);
}

void end_subscription(command *command) {
  thing *thing = thing_find(command->tag);
  thing_lock(thing);
  thing->is_held = false;
  pthread_cond_broadcast(&thing->condition);
  uint64_t subscription = thing->id;
  thing_unlock(thing);
  hostcall_status status = hostcall_unsubscribe(context, subscription);
  report_status(command->tag, status);
}

void publish_event(command *command) {
  content *content = content_read(command);
  hostcall_publish_options options = HOSTCALL_PUBLISH_OPTIONS_INIT;
  options.encoding = content->encoding;
  options.metadata = content->metadata;
  options.metadata_count = content->metadata_count;
  uint32_t subscribers = 0;
  bool wants_answer = !command_says(command, "no-reply");
  hostcall_status status = hostcall_publish(context, command_text(command, "name"), &options, content->data,
                                            content->size, wants_answer ? &subscribers : NULL);
  if (status == HOSTCALL_OK && wants_answer) {
    report *report = report_begin(command->tag, "done");
    report_text(report, " subscribers=%u", subscribers);
    report_end(report);
  } else {
    report_status(command->tag, status);
  }
  content_free(content);
}
