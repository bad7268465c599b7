/*
 * A worker in C for the demo: registers hop.c, which calls the next hop of a chain, in whatever language that is.
 *
 * The payload is words with a space between them. The first is a language, and the call goes on to that language's hop with
 * the others; or `end`; or `hold`, which waits until the call is cancelled and then publishes that it was. The result is a
 * line about this hop, and what the next has answered.
 *
 * Usage: demo_worker [SOCKET]
 */
#include <hostcall.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A call that has gone on to the next hop, or is held. */
typedef struct hop {
  struct hop *next;
  hostcall_context *context;
  uint64_t call_id;
  /* The call of the next hop; 0 where this one is held. */
  uint64_t request;
  char line[96];
} hop;

static hop *hops;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Takes a hop out of the list, by its call; null where somebody else has. */
static hop *take_hop(uint64_t call_id) {
  pthread_mutex_lock(&mutex);
  hop **place = &hops;
  while (*place != NULL && (*place)->call_id != call_id) place = &(*place)->next;
  hop *found = *place;
  if (found != NULL) *place = found->next;
  pthread_mutex_unlock(&mutex);
  return found;
}

/* The next hop has answered: that goes behind our own line, and an error goes on as it is. */
static void answered(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)request;
  uint64_t call_id = *(uint64_t *)user_data;
  free(user_data);
  hop *hop = take_hop(call_id);
  if (hop == NULL) return;
  if (result->status == HOSTCALL_OK) {
    size_t size = strlen(hop->line);
    hostcall_buffer whole = HOSTCALL_BUFFER_INIT;
    hostcall_status status = hostcall_buffer_alloc(size + result->size, &whole);
    if (status == HOSTCALL_OK) {
      memcpy(whole.data, hop->line, size);
      if (result->size > 0) memcpy(whole.data + size, result->data, result->size);
    }
    hostcall_host_complete_buffer(context, call_id, status == HOSTCALL_OK ? HOSTCALL_OK : HOSTCALL_FAILED, &whole);
  } else {
    hostcall_host_complete(context, call_id, HOSTCALL_FAILED, result->message, strlen(result->message));
  }
  free(hop);
}

/* Our caller has given up: so does the next hop's, which is this. */
static void cancelled(hostcall_context *context, uint64_t call_id, hostcall_status why, void *user_data) {
  (void)why, (void)user_data;
  hop *hop = take_hop(call_id);
  if (hop == NULL) return;
  if (hop->request != 0) {
    hostcall_cancel(context, hop->request);
  } else {
    hostcall_publish(context, "hop.cancelled", NULL, hop->line, strlen(hop->line), NULL);
  }
  hostcall_host_complete(context, call_id, HOSTCALL_CANCELLED, NULL, 0);
  free(hop);
}

static void hop_on(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hop *hop = calloc(1, sizeof *hop);
  uint64_t *call_id = malloc(sizeof *call_id);
  char *words = malloc(invocation->size + 1);
  if (hop == NULL || call_id == NULL || words == NULL) abort();
  hop->call_id = *call_id = invocation->call_id;
  snprintf(hop->line, sizeof hop->line, "c call=%llu left=%u\n", (unsigned long long)invocation->correlation_id,
           invocation->timeout_milliseconds);
  if (invocation->size > 0) memcpy(words, invocation->data, invocation->size);
  words[invocation->size] = 0;
  char *rest = strchr(words, ' ');
  if (rest != NULL) *rest++ = 0;

  if (strcmp(words, "end") == 0) {
    hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, hop->line, strlen(hop->line));
    free(hop);
    free(call_id);
  } else {
    /* Whoever is told of a cancel, or of the answer, waits until the hop is whole. */
    pthread_mutex_lock(&mutex);
    hop->next = hops;
    hops = hop;
    hostcall_status status = HOSTCALL_OK;
    if (strcmp(words, "hold") != 0) {
      char name[128];
      snprintf(name, sizeof name, "hop.%s", words);
      /* Made inside a host function, it has what is left of our time. */
      status = hostcall_call(context, name, NULL, rest, rest == NULL ? 0 : strlen(rest), answered, call_id, &hop->request);
    }
    bool is_kept = hop->request == 0;
    /* From here on it is whoever takes it out of the list that has it. */
    pthread_mutex_unlock(&mutex);
    if (is_kept) free(call_id);
    if (status != HOSTCALL_OK && take_hop(invocation->call_id) != NULL) {
      const char *why = hostcall_last_error();
      hostcall_host_complete(context, invocation->call_id, HOSTCALL_FAILED, why, strlen(why));
      free(hop);
    }
    /* While this runs it may have been given up before it could be found. */
    if (hostcall_call_state(context, invocation->call_id) == HOSTCALL_LATE) {
      cancelled(context, invocation->call_id, HOSTCALL_CANCELLED, NULL);
    }
  }
  free(words);
}

int main(int count, char **arguments) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  /* Before the library starts threads, which inherit it. */
  pthread_sigmask(SIG_BLOCK, &ends, NULL);

  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = count > 1 ? arguments[1] : NULL;
  options.client_name = "demo-worker-c";
  hostcall_function_options function = HOSTCALL_FUNCTION_OPTIONS_INIT;
  function.on_cancel = cancelled;
  hostcall_context *context = NULL;
  if (hostcall_connect(&options, &context) != HOSTCALL_OK ||
      hostcall_register_host_fn(context, "hop.c", &function, hop_on, NULL, NULL) != HOSTCALL_OK) {
    fprintf(stderr, "demo_worker: %s\n", hostcall_last_error());
    return 1;
  }
  puts("ready");
  fflush(stdout);
  int signal = 0;
  sigwait(&ends, &signal);
  return hostcall_shutdown(context, 10000) == HOSTCALL_OK ? 0 : 1;
}
