/* What tags stand for, and the items that come and go. */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

static pthread_mutex_t things_mutex = PTHREAD_MUTEX_INITIALIZER;
static thing *things;

void queue_begin(item_queue *queue) {
  queue->first = NULL;
  queue->last = &queue->first;
}

void queue_append(item_queue *queue, const void *data, size_t size, uint32_t encoding) {
  kept_item *item = malloc(sizeof *item + size);
  if (item == NULL) abort();
  item->next = NULL;
  item->encoding = encoding;
  item->size = size;
  if (size > 0) memcpy(item->data, data, size);
  *queue->last = item;
  queue->last = &item->next;
}

kept_item *queue_take(item_queue *queue) {
  kept_item *item = queue->first;
  if (item == NULL) return NULL;
  queue->first = item->next;
  if (queue->first == NULL) queue->last = &queue->first;
  return item;
}

void queue_empty(item_queue *queue) {
  for (kept_item *item; (item = queue_take(queue)) != NULL;) free(item);
}

thing *thing_make(const char *tag) {
  thing *thing = calloc(1, sizeof *thing);
  if (thing == NULL) abort();
  snprintf(thing->tag, sizeof thing->tag, "%s", tag);
  pthread_mutex_init(&thing->mutex, NULL);
  pthread_cond_init(&thing->condition, NULL);
  queue_begin(&thing->items);
  queue_begin(&thing->sending);
  pthread_mutex_lock(&things_mutex);
  thing->next = things;
  things = thing;
  pthread_mutex_unlock(&things_mutex);
  return thing;
}

thing *thing_find(const char *tag) {
  pthread_mutex_lock(&things_mutex);
  thing *found = things;
  while (found != NULL && strcmp(found->tag, tag) != 0) found = found->next;
  pthread_mutex_unlock(&things_mutex);
  if (found == NULL) misunderstood("there is nothing of that tag", tag);
  return found;
}

void thing_lock(thing *thing) { pthread_mutex_lock(&thing->mutex); }

void thing_unlock(thing *thing) { pthread_mutex_unlock(&thing->mutex); }

void things_release(void) {
  pthread_mutex_lock(&things_mutex);
  for (thing *thing = things; thing != NULL; thing = thing->next) {
    thing_lock(thing);
    thing->is_held = false;
    pthread_cond_broadcast(&thing->condition);
    thing_unlock(thing);
  }
  pthread_mutex_unlock(&things_mutex);
}

static void report_item(const char *tag, const kept_item *item) {
  report *report = report_begin(tag, "item");
  report_bytes(report, "payload", item->data, item->size);
  report_text(report, " encoding=%u", item->encoding);
  report_end(report);
}

/* The driver has asked for more than there will be. */
static void tell_end(thing *thing) {
  if (!thing->is_served || thing->wanted == 0) return;
  if (thing->items_end) {
    report_word(thing->tag, "items-end");
    thing->wanted = 0;
  } else if (thing->is_over) {
    report *report = report_begin(thing->tag, "error");
    report_text(report, " status=%s origin=daemon code=status", hostcall_status_name(thing->why));
    report_end(report);
    thing->wanted = 0;
  }
}

void thing_tell(thing *thing) {
  kept_item *item;
  while (thing->wanted > 0 && (item = queue_take(&thing->items)) != NULL) {
    thing->wanted--;
    report_item(thing->tag, item);
    free(item);
    /* What was taken makes room for another in the caller's window. */
    if (!thing->is_served) hostcall_add_credit(context, thing->id, 1);
  }
  if (thing->items.first != NULL && !thing->was_cancelled) return;
  tell_end(thing);
  if (thing->outcome != NULL && (thing->wanted > 0 || !thing->has_window || thing->was_cancelled)) {
    queue_empty(&thing->items);
    report_end(thing->outcome);
    thing->outcome = NULL;
  }
}

void thing_item_came(hostcall_context *used, uint64_t id, const hostcall_item *item, void *user_data) {
  (void)used, (void)id;
  thing *thing = user_data;
  thing_lock(thing);
  if (item == NULL) {
    thing->items_end = true;
  } else {
    queue_append(&thing->items, item->data, item->size, item->encoding);
  }
  thing_tell(thing);
  thing_unlock(thing);
}

void thing_send(thing *thing) {
  while (thing->sending.first != NULL) {
    kept_item *item = thing->sending.first;
    hostcall_status status = hostcall_send_item(context, thing->id, item->data, item->size, item->encoding);
    if (status == HOSTCALL_OVERLOADED) return;
    if (status == HOSTCALL_OK) {
      report_word(thing->tag, "sent");
    } else if (thing->is_served) {
      report_status(thing->tag, status);
    }
    free(queue_take(&thing->sending));
  }
  if (thing->ends_sending) {
    thing->ends_sending = false;
    hostcall_end_items(context, thing->id);
  }
}

void thing_has_room(hostcall_context *used, uint64_t id, void *user_data) {
  (void)used, (void)id;
  thing *thing = user_data;
  thing_lock(thing);
  thing_send(thing);
  thing_unlock(thing);
}
