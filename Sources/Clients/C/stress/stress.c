/*
 * Eight threads register, replace, remove, call, cancel, complete, publish and close at random. In the end every call that
 * was begun has been told once how it ended, every pointer that was lent has been released once, and none was used after.
 *
 * Usage: stress SECONDS [SEED]
 */
#include <hostcall.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, CONTEXTS = 3, NAMES = 5, KEPT_CALLS = 64 };

static const char *names[NAMES] = {"a", "b.c", "b.*", "d", "e"};
static const char *called[NAMES] = {"a", "b.c", "b.x", "d", "e"};

static _Atomic(hostcall_context *) contexts[CONTEXTS];
static atomic_long operations, begun, told, lent, released, invoked, completed, contexts_closed, violations;
static atomic_bool is_over;
static char socket_path[64];

static void violate(const char *what) {
  fprintf(stderr, "stress: %s\n", what);
  atomic_fetch_add(&violations, 1);
}

/* What a host function or subscription is lent. */
typedef struct loan {
  struct loan *next;
  atomic_int is_released;
} loan;

/* All of them, kept to the end so that a use after the release is seen. */
static _Atomic(loan *) loans;

static loan *make_loan(void) {
  loan *loan = calloc(1, sizeof *loan);
  if (loan == NULL) abort();
  loan->next = atomic_load(&loans);
  while (!atomic_compare_exchange_weak(&loans, &loan->next, loan)) continue;
  return loan;
}

static void free_loans(void) {
  for (loan *loan = loans, *next; loan != NULL; loan = next) {
    next = loan->next;
    free(loan);
  }
}

static void use(void *user_data) {
  loan *loan = user_data;
  if (atomic_load(&loan->is_released) != 0) violate("a pointer is used after its release");
}

static void release(void *user_data) {
  loan *loan = user_data;
  if (atomic_fetch_add(&loan->is_released, 1) != 0) violate("a pointer is released twice");
  atomic_fetch_add(&released, 1);
}

/* Calls that are completed by whichever thread comes along. */
static struct kept_call {
  pthread_mutex_t mutex;
  hostcall_context *context;
  uint64_t call_id;
} kept_calls[KEPT_CALLS];

static void complete_kept(unsigned place) {
  struct kept_call *kept = &kept_calls[place % KEPT_CALLS];
  pthread_mutex_lock(&kept->mutex);
  hostcall_context *context = kept->context;
  uint64_t call_id = kept->call_id;
  kept->context = NULL;
  pthread_mutex_unlock(&kept->mutex);
  if (context == NULL) return;
  switch (hostcall_host_complete(context, call_id, HOSTCALL_OK, "kept", 4)) {
    case HOSTCALL_OK: atomic_fetch_add(&completed, 1); break;
    case HOSTCALL_LATE:
    case HOSTCALL_CLOSED: break;
    default: violate(hostcall_last_error());
  }
}

static void run(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  use(user_data);
  long number = atomic_fetch_add(&invoked, 1);
  if (number % 4 == 0) {
    /* For later; what was there is completed now. */
    struct kept_call *kept = &kept_calls[number / 4 % KEPT_CALLS];
    complete_kept((unsigned)(number / 4));
    pthread_mutex_lock(&kept->mutex);
    bool was_free = kept->context == NULL;
    if (was_free) {
      kept->context = context;
      kept->call_id = invocation->call_id;
    }
    pthread_mutex_unlock(&kept->mutex);
    if (was_free) return;
  }
  if ((invocation->flags & HOSTCALL_ARGUMENTS) != 0) hostcall_add_credit(context, invocation->call_id, 2);
  if ((invocation->flags & HOSTCALL_ITEMS_TAKEN) != 0) {
    hostcall_send_item_wait(context, invocation->call_id, "item", 4, HOSTCALL_RAW, 5);
  }
  if (number % 16 == 1) {
    hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
    options.timeout_milliseconds = 20;
    hostcall_call_wait(context, called[number % NAMES], &options, invocation->data, invocation->size, NULL);
  }
  if (hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, invocation->data, invocation->size) ==
      HOSTCALL_OK) {
    atomic_fetch_add(&completed, 1);
  }
  if (hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, NULL, 0) == HOSTCALL_OK) {
    violate("a call could be completed twice");
  }
  use(user_data);
}

static void on_cancel(hostcall_context *context, uint64_t call_id, hostcall_status why, void *user_data) {
  use(user_data);
  if (why == HOSTCALL_OK) violate("a call was cancelled for no reason");
  hostcall_host_complete(context, call_id, HOSTCALL_CANCELLED, NULL, 0);
}

static void on_argument(hostcall_context *context, uint64_t id, const hostcall_item *item, void *user_data) {
  use(user_data);
  if (item != NULL) hostcall_add_credit(context, id, 1);
}

static void on_event(hostcall_context *context, uint64_t subscription, const hostcall_event *event, void *user_data) {
  (void)context, (void)subscription;
  use(user_data);
  if (strcmp(event->name, "tick") != 0) violate("an event of another name");
}

/* Tells that a call has ended; told again it would be told of freed memory, which the sanitizers see. */
static void on_result(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request, (void)result;
  free(user_data);
  atomic_fetch_add(&told, 1);
}

static hostcall_context *make_context(unsigned random) {
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = socket_path;
  options.thread_limit = 1 + random % 20;
  hostcall_context *context = NULL;
  if (random % 3 == 0) options.socket_path = NULL;
  hostcall_status status =
      random % 3 == 0 ? hostcall_open(&options, &context) : hostcall_connect(&options, &context);
  if (status != HOSTCALL_OK) violate(hostcall_last_error());
  return context;
}

static void close_one(unsigned random) {
  hostcall_context *old = atomic_exchange(&contexts[random % CONTEXTS], make_context(random >> 8));
  hostcall_status status = random % 2 == 0 ? hostcall_close(old) : hostcall_shutdown(old, 5);
  if (status != HOSTCALL_OK && status != HOSTCALL_TIMEOUT) violate(hostcall_last_error());
  if (hostcall_close(old) != HOSTCALL_CLOSED) violate("a closed context is not closed");
  atomic_fetch_add(&contexts_closed, 1);
}

static void register_one(hostcall_context *context, unsigned random) {
  hostcall_function_options options = HOSTCALL_FUNCTION_OPTIONS_INIT;
  options.mode = random % 2 == 0 ? HOSTCALL_REPLACE : HOSTCALL_SHARED;
  options.concurrency = 1 + (random >> 4) % 8;
  options.on_cancel = on_cancel;
  options.on_item = on_argument;
  loan *loan = make_loan();
  if (hostcall_register_host_fn(context, names[(random >> 8) % NAMES], &options, run, loan, release) == HOSTCALL_OK) {
    atomic_fetch_add(&lent, 1);
  }
}

static void call_one(hostcall_context *context, unsigned random) {
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 1 + (random >> 4) % 100;
  options.flags = random % 3 == 0 ? HOSTCALL_WAIT : random % 3 == 1 ? HOSTCALL_IDEMPOTENT : 0;
  uint64_t request = 0;
  char *memory = malloc(1);
  const char *name = called[(random >> 8) % NAMES];
  if (hostcall_call(context, name, &options, "payload", 7, on_result, memory, &request) != HOSTCALL_OK) {
    free(memory);
    return;
  }
  atomic_fetch_add(&begun, 1);
  if (random % 5 == 0) hostcall_cancel(context, request);
}

static void call_and_wait(hostcall_context *context, unsigned random) {
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 1 + (random >> 4) % 50;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  hostcall_status status =
      hostcall_call_wait(context, called[(random >> 8) % NAMES], &options, "payload", 7, &result);
  if (status == HOSTCALL_OK && result.size != 7 && result.size != 4) violate("a result of somebody else's");
  hostcall_result_free(&result);
}

/* Takes items, and asks for more now and then. */
static void on_item(hostcall_context *context, uint64_t id, const hostcall_item *item, void *user_data) {
  (void)item, (void)user_data;
  hostcall_add_credit(context, id, 1);
}

static void stream_one(hostcall_context *context, unsigned random) {
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 1 + (random >> 4) % 50;
  options.item_credit = 1 + random % 4;
  options.on_item = on_item;
  if (random % 2 == 0) options.flags = HOSTCALL_ARGUMENTS;
  uint64_t request = 0;
  char *memory = malloc(1);
  if (hostcall_call(context, called[(random >> 8) % NAMES], &options, "payload", 7, on_result, memory, &request) !=
      HOSTCALL_OK) {
    free(memory);
    return;
  }
  atomic_fetch_add(&begun, 1);
  if (random % 2 != 0) return;
  hostcall_send_item(context, request, "1", 1, HOSTCALL_RAW);
  hostcall_send_item_wait(context, request, "2", 1, HOSTCALL_RAW, 5);
  hostcall_end_items(context, request);
}

static void subscribe_for_a_moment(hostcall_context *context) {
  loan *loan = make_loan();
  uint64_t subscription = 0;
  if (hostcall_subscribe(context, "tick", on_event, loan, release, &subscription) != HOSTCALL_OK) {
    return;
  }
  atomic_fetch_add(&lent, 1);
  hostcall_publish(context, "tick", NULL, NULL, 0, NULL);
  hostcall_unsubscribe(context, subscription);
}

static void *act(void *argument) {
  unsigned random = *(unsigned *)argument;
  while (!atomic_load(&is_over)) {
    random = random * 1664525u + 1013904223u;
    unsigned choice = random >> 24, rest = random >> 4;
    hostcall_context *context = atomic_load(&contexts[rest % CONTEXTS]);
    if (choice < 1) {
      close_one(rest);
    } else if (choice < 20) {
      register_one(context, rest);
    } else if (choice < 32) {
      hostcall_unregister_host_fn(context, names[(rest >> 8) % NAMES]);
    } else if (choice < 90) {
      call_one(context, rest);
    } else if (choice < 110) {
      stream_one(context, rest);
    } else if (choice < 170) {
      call_and_wait(context, rest);
    } else if (choice < 190) {
      subscribe_for_a_moment(context);
    } else {
      complete_kept(rest);
    }
    atomic_fetch_add(&operations, 1);
  }
  return NULL;
}

int main(int count, char **arguments) {
  double seconds = count > 1 ? atof(arguments[1]) : 0;
  if (seconds <= 0) {
    fprintf(stderr, "usage: stress SECONDS [SEED]\n");
    return 64;
  }
  unsigned seed = count > 2 ? (unsigned)strtoul(arguments[2], NULL, 10) : (unsigned)time(NULL);
  printf("stress: seed %u\n", seed);
  for (int place = 0; place < KEPT_CALLS; place++) pthread_mutex_init(&kept_calls[place].mutex, NULL);
  char folder[] = "/tmp/hostcall-stress-XXXXXX";
  if (mkdtemp(folder) == NULL) return 1;
  snprintf(socket_path, sizeof socket_path, "%s/s", folder);
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = socket_path;
  hostcall_context *bridge = NULL;
  if (hostcall_open(&options, &bridge) != HOSTCALL_OK) {
    fprintf(stderr, "stress: %s\n", hostcall_last_error());
    return 1;
  }
  for (unsigned place = 0; place < CONTEXTS; place++) atomic_store(&contexts[place], make_context(place));

  pthread_t threads[THREADS];
  unsigned seeds[THREADS];
  for (unsigned index = 0; index < THREADS; index++) {
    seeds[index] = seed * THREADS + index;
    if (pthread_create(&threads[index], NULL, act, &seeds[index]) != 0) return 1;
  }
  struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&time, NULL);
  atomic_store(&is_over, true);
  for (int index = 0; index < THREADS; index++) pthread_join(threads[index], NULL);
  for (int place = 0; place < CONTEXTS; place++) {
    if (hostcall_close(atomic_load(&contexts[place])) != HOSTCALL_OK) violate(hostcall_last_error());
  }
  if (hostcall_close(bridge) != HOSTCALL_OK) violate(hostcall_last_error());
  char lock[80];
  snprintf(lock, sizeof lock, "%s.lock", socket_path);
  unlink(lock);
  if (rmdir(folder) != 0) violate("something is left in the folder of the socket");

  printf("stress: %ld operations, %ld contexts closed, %ld calls begun and %ld told, %ld invoked, %ld completed\n",
         operations, contexts_closed, begun, told, invoked, completed);
  printf("stress: %ld pointers lent and %ld released, %ld violations\n", lent, released, violations);
  free_loans();
  bool is_balanced = begun == told && lent == released && violations == 0;
  puts(is_balanced ? "stress: the ledger balances" : "stress: the ledger does not balance");
  return is_balanced ? 0 : 1;
}
