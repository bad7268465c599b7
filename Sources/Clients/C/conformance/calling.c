/* Calls that the agent makes, and figures. */
#include "agent.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void call_ended(hostcall_context *used, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)used, (void)request;
  thing *thing = user_data;
  thing_lock(thing);
  thing->is_over = true;
  thing->outcome = report_of(thing->tag, result);
  thing_tell(thing);
  thing_unlock(thing);
}

void begin_call(command *command) {
  content *content = content_read(command);
  thing *thing = thing_make(command->tag);
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = command_number(command, "timeout");
  options.encoding = content->encoding;
  if (command_says(command, "wait")) options.flags |= HOSTCALL_WAIT;
  if (command_says(command, "idempotent")) options.flags |= HOSTCALL_IDEMPOTENT;
  if (command_says(command, "no-reply")) options.flags |= HOSTCALL_NO_REPLY;
  if (command_says(command, "arguments")) options.flags |= HOSTCALL_ARGUMENTS;
  options.item_credit = command_number(command, "window");
  options.metadata = content->metadata;
  options.metadata_count = content->metadata_count;
  options.on_room = thing_has_room;
  if (options.item_credit > 0) options.on_item = thing_item_came;
  const char *inside = command_text(command, "inside");
  if (inside != NULL) options.inside = thing_find(inside)->id;
  thing->has_window = options.item_credit > 0;
  /* The call may end before its number is known here; whoever needs that waits for the lock. */
  thing_lock(thing);
  hostcall_status status = hostcall_call(context, command_text(command, "name"), &options, content->data, content->size,
                                         options.flags & HOSTCALL_NO_REPLY ? NULL : call_ended, thing, &thing->id);
  thing_unlock(thing);
  if (status != HOSTCALL_OK || command_says(command, "no-reply")) report_status(command->tag, status);
  content_free(content);
}

void cancel_call(const char *tag) {
  thing *thing = thing_find(tag);
  thing_lock(thing);
  thing->was_cancelled = true;
  hostcall_cancel(context, thing->id);
  thing_tell(thing);
  thing_unlock(thing);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int compare(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

/* Calls of which each begins the next. */
typedef struct bench {
  const char *name;
  uint8_t *payload;
  size_t size;
  long calls;
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  long begun;
  long ended;
  long failed;
  double *microseconds;
} bench;

typedef struct bench_call {
  bench *bench;
  double begun;
} bench_call;

static void bench_next(hostcall_context *used, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)request;
  bench_call *call = user_data;
  bench *bench = call->bench;
  double time = now();
  pthread_mutex_lock(&bench->mutex);
  if (result != NULL) {
    if (result->status != HOSTCALL_OK || result->size != bench->size) bench->failed++;
    bench->microseconds[bench->ended++] = (time - call->begun) * 1e6;
    if (bench->ended == bench->calls) pthread_cond_signal(&bench->condition);
  }
  bool has_more = bench->begun < bench->calls;
  if (has_more) bench->begun++;
  pthread_mutex_unlock(&bench->mutex);
  call->begun = time;
  if (has_more) hostcall_call(used, bench->name, NULL, bench->payload, bench->size, bench_next, call, NULL);
}

void run_bench(command *command) {
  bench bench = {.name = command_text(command, "name"),
                 .size = command_number(command, "size"),
                 .calls = command_number(command, "calls"),
                 .mutex = PTHREAD_MUTEX_INITIALIZER,
                 .condition = PTHREAD_COND_INITIALIZER};
  bench.payload = calloc(1, bench.size + 1);
  bench.microseconds = calloc((size_t)bench.calls, sizeof(double));
  uint32_t depth = command_number(command, "depth");
  bench_call *calls = calloc(depth, sizeof *calls);
  double start = now();
  if (depth == 1) {
    /* As a program would that has nothing else to do. */
    for (; bench.ended < bench.calls; bench.ended++) {
      double time = now();
      if (hostcall_call_wait(context, bench.name, NULL, bench.payload, bench.size, NULL) != HOSTCALL_OK) bench.failed++;
      bench.microseconds[bench.ended] = (now() - time) * 1e6;
    }
  } else {
    for (uint32_t place = 0; place < depth; place++) {
      calls[place].bench = &bench;
      bench_next(context, 0, NULL, &calls[place]);
    }
    pthread_mutex_lock(&bench.mutex);
    while (bench.ended < bench.calls) pthread_cond_wait(&bench.condition, &bench.mutex);
    pthread_mutex_unlock(&bench.mutex);
  }
  double seconds = now() - start;
  qsort(bench.microseconds, (size_t)bench.calls, sizeof(double), compare);
  if (bench.failed > 0) {
    report *report = report_begin(command->tag, "error");
    report_text(report, " code=status status=FAILED origin=client message=");
    report_end(report);
  } else {
    report *report = report_begin(command->tag, "done");
    report_text(report, " seconds=%.6f p50=%.1f p99=%.1f", seconds, bench.microseconds[bench.calls / 2],
                bench.microseconds[bench.calls * 99 / 100]);
    report_end(report);
  }
  free(calls);
  free(bench.payload);
  free(bench.microseconds);
}
