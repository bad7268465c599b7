/* What the parts of the conformance agent share. Tests/Conformance/Agents.md says what an agent does. */
#ifndef AGENT_H
#define AGENT_H

#include <hostcall.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { MOST_METADATA = 64 };

/* One line of the driver's, taken apart. It is the reader's own copy. */
typedef struct command {
  char *line;
  const char *tag;
  const char *word;
  size_t count;
  struct {
    const char *key;
    char *value;
  } values[16];
} command;

/* Takes a line apart; what cannot be understood ends the agent. */
command *command_read(const char *line);
void command_free(command *command);
/* Null where the key is not there. */
const char *command_text(const command *command, const char *key);
uint32_t command_number(const command *command, const char *key);
bool command_says(const command *command, const char *key);
_Noreturn void misunderstood(const char *what, const char *line);

/* Bytes and metadata of a command, which whoever has them frees. */
typedef struct content {
  uint8_t *data;
  size_t size;
  uint32_t encoding;
  hostcall_metadata metadata[MOST_METADATA];
  size_t metadata_count;
} content;
content *content_read(const command *command);
void content_free(content *content);

/* One line to the driver, made up piece by piece and written whole. */
typedef struct report {
  char *text;
  size_t size;
  FILE *stream;
} report;
report *report_begin(const char *tag, const char *word);
void report_text(report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
void report_bytes(report *report, const char *key, const void *data, size_t size);
void report_metadata(report *report, const hostcall_metadata *metadata, size_t count);
/* Writes it, and frees it. */
void report_end(report *report);
/* A tag and a word, and no more. */
void report_word(const char *tag, const char *word);
/* How a call has ended, not written yet. */
report *report_of(const char *tag, const hostcall_result *result);
/* What a function has returned: `done`, or the error with the thread's last text. */
void report_status(const char *tag, hostcall_status status);

/* An item that waits to be taken by the driver, or to be sent. */
typedef struct kept_item {
  struct kept_item *next;
  uint32_t encoding;
  size_t size;
  uint8_t data[];
} kept_item;

typedef struct item_queue {
  kept_item *first;
  kept_item **last;
} item_queue;
void queue_begin(item_queue *queue);
void queue_append(item_queue *queue, const void *data, size_t size, uint32_t encoding);
kept_item *queue_take(item_queue *queue);
void queue_empty(item_queue *queue);

/* What a tag stands for: a call that the agent makes, one that it answers, a registration or a subscription. They stay
 * until the agent ends. */
typedef struct thing {
  struct thing *next;
  char tag[64];
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  /* The request, call or subscription in the library. */
  uint64_t id;
  /* Of a registration: its name, how many invocations it had, and how many were not completed. */
  char name[256];
  int invocations;
  int running;
  /* Of a call that the agent answers: what it was registered by. */
  struct thing *registration;
  /* Whether the agent answers the call, so that the end of its items is told. */
  bool is_served;
  bool is_over;
  /* Items that the driver has asked for, those that have come, and whether no more will. */
  uint32_t wanted;
  item_queue items;
  bool items_end;
  bool has_window;
  /* Whether the driver has ended it. */
  bool was_cancelled;
  hostcall_status why;
  /* How a call has ended, until it is told after its items. */
  report *outcome;
  /* Items that wait for room, and whether their end follows. */
  item_queue sending;
  bool ends_sending;
  /* Whether events wait until they are asked for. */
  bool is_held;
} thing;

extern hostcall_context *context;

thing *thing_make(const char *tag);
/* Ends the agent where there is none. */
thing *thing_find(const char *tag);
void thing_lock(thing *thing);
void thing_unlock(thing *thing);
/* Hands out what was asked for and is there. Locked. */
void thing_tell(thing *thing);
/* Sends what there is room for. Locked. */
void thing_send(thing *thing);
void thing_item_came(hostcall_context *context, uint64_t id, const hostcall_item *item, void *user_data);
void thing_has_room(hostcall_context *context, uint64_t id, void *user_data);
/* Lets go of whatever waits in a callback. */
void things_release(void);

/* The commands. */
void begin_call(command *command);
void cancel_call(const char *tag);
void begin_registration(command *command);
void complete_call(command *command);
void raise_error(command *command);
void end_registration(command *command);
void begin_subscription(command *command);
void end_subscription(command *command);
void publish_event(command *command);
void run_bench(command *command);

#endif
