/* Contexts without threads: callbacks run where the program polls or waits, and nowhere else. */
#include <poll.h>

#include "support.h"

typedef struct place {
  pthread_t thread;
  int calls;
  int elsewhere;
  int released;
} place;

static void note_place(place *place) {
  place->calls++;
  if (!pthread_equal(pthread_self(), place->thread)) place->elsewhere++;
}

static void echo_here(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  note_place(user_data);
  echo(context, invocation, NULL);
}

static void end_here(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request, (void)result;
  note_place(user_data);
}

static void release_here(void *user_data) {
  note_place(user_data);
  ((place *)user_data)->released++;
}

static void callbacks_run_where_the_program_polls(void **state) {
  (void)state;
  hostcall_context *context = open_context(HOSTCALL_POLLED);
  place served = {.thread = pthread_self()}, told = {.thread = pthread_self()};
  expect_ok(hostcall_register_host_fn(context, "echo", NULL, echo_here, &served, release_here));
  int descriptor = hostcall_poll_fd(context);
  assert_true(descriptor >= 0);
  struct pollfd interest = {.fd = descriptor, .events = POLLIN};
  uint32_t callbacks = 77;
  expect_ok(hostcall_poll(context, 0, &callbacks));
  assert_int_equal(callbacks, 0);
  assert_int_equal(poll(&interest, 1, 0), 0);
  for (int number = 0; number < 10; number++) {
    expect_ok(hostcall_call(context, "echo", NULL, "x", 1, end_here, &told, NULL));
  }
  while (told.calls < 10) {
    assert_int_equal(poll(&interest, 1, 60000), 1);
    expect_ok(hostcall_poll(context, 0, &callbacks));
    assert_true(callbacks > 0);
  }
  assert_int_equal(served.calls, 10);
  /* Without a descriptor, too. */
  expect_ok(hostcall_call(context, "echo", NULL, "x", 1, end_here, &told, NULL));
  while (told.calls < 11) expect_ok(hostcall_poll(context, -1, NULL));
  expect_ok(hostcall_poll(context, 1, &callbacks));
  assert_int_equal(callbacks, 0);
  expect_ok(hostcall_close(context));
  assert_int_equal(served.released, 1);
  assert_int_equal(served.elsewhere + told.elsewhere, 0);
}

static void call_here(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  note_place(user_data);
  hostcall_result result = HOSTCALL_RESULT_INIT;
  hostcall_call_wait(context, "echo", NULL, invocation->data, invocation->size, &result);
  hostcall_host_complete(context, invocation->call_id, result.status, result.data, result.size);
  hostcall_result_free(&result);
}

static void who_waits_runs_callbacks_meanwhile(void **state) {
  (void)state;
  hostcall_context *context = open_context(HOSTCALL_POLLED);
  place served = {.thread = pthread_self()};
  expect_ok(hostcall_register_host_fn(context, "echo", NULL, echo_here, &served, NULL));
  expect_ok(hostcall_register_host_fn(context, "call", NULL, call_here, &served, NULL));
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(context, "call", NULL, "hello", 5, &result));
  assert_memory_equal(result.data, "hello", 5);
  hostcall_result_free(&result);
  assert_int_equal(served.calls, 2);
  assert_int_equal(served.elsewhere, 0);
  expect_ok(hostcall_close(context));
}

static void close_here(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)invocation;
  note_place(user_data);
  hostcall_close(context);
}

static void a_polled_context_may_be_closed_by_its_own_function(void **state) {
  (void)state;
  hostcall_context *context = open_context(HOSTCALL_POLLED);
  place served = {.thread = pthread_self()}, told = {.thread = pthread_self()};
  expect_ok(hostcall_register_host_fn(context, "close", NULL, close_here, &served, release_here));
  expect_ok(hostcall_call(context, "close", NULL, NULL, 0, end_here, &told, NULL));
  while (hostcall_poll(context, -1, NULL) == HOSTCALL_OK) continue;
  assert_int_equal(told.calls, 1);
  assert_int_equal(served.released, 1);
  assert_int_equal(served.elsewhere + told.elsewhere, 0);
}

/* A host function that closes its context while somebody waits for it. */
static void a_polled_context_may_be_closed_while_somebody_waits(void **state) {
  (void)state;
  hostcall_context *context = open_context(HOSTCALL_POLLED);
  place served = {.thread = pthread_self()};
  expect_ok(hostcall_register_host_fn(context, "close", NULL, close_here, &served, release_here));
  expect_ok(hostcall_register_host_fn(context, "other", NULL, echo_here, &served, release_here));
  expect_is(hostcall_call_wait(context, "close", NULL, NULL, 0, NULL), HOSTCALL_CLOSED);
  assert_int_equal(served.released, 2);
  assert_int_equal(served.elsewhere, 0);
}

/* Closes another context, inside a callback of which this one runs. */
typedef struct pair {
  hostcall_context *outer;
  hostcall_context *inner;
  hostcall_status closed;
} pair;

static void call_inner(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  pair *pair = user_data;
  hostcall_call_wait(pair->inner, "inner", NULL, NULL, 0, NULL);
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, NULL, 0);
}

static void close_outer(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  pair *pair = user_data;
  pair->closed = hostcall_close(pair->outer);
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, NULL, 0);
}

static void a_context_may_be_closed_by_a_callback_of_another_that_runs_inside_its_own(void **state) {
  (void)state;
  pair pair = {.outer = open_context(0), .inner = open_context(HOSTCALL_POLLED), .closed = -1};
  expect_ok(hostcall_register_host_fn(pair.outer, "outer", NULL, call_inner, &pair, NULL));
  expect_ok(hostcall_register_host_fn(pair.inner, "inner", NULL, close_outer, &pair, NULL));
  expect_is(hostcall_call_wait(pair.outer, "outer", NULL, NULL, 0, NULL), HOSTCALL_CLOSED);
  while (hostcall_ping(pair.inner) == HOSTCALL_OK && pair.closed != HOSTCALL_OK) continue;
  assert_int_equal(pair.closed, HOSTCALL_OK);
  expect_ok(hostcall_close(pair.inner));
}

/* The time that a call has which an event's callback makes, while a host function with little time waits. */
static void note_time_left(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  *(uint32_t *)user_data = invocation->timeout_milliseconds;
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, NULL, 0);
}

static void call_for_event(hostcall_context *context, uint64_t subscription, const hostcall_event *event,
                           void *user_data) {
  (void)subscription, (void)event, (void)user_data;
  hostcall_call_wait(context, "time", NULL, NULL, 0, NULL);
}

static void publish_and_wait(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  uint32_t *left = user_data;
  hostcall_publish(context, "tick", NULL, NULL, 0, NULL);
  for (int tries = 0; tries < 1000 && *left == 0; tries++) hostcall_ping(context);
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, NULL, 0);
}

static void a_callback_inherits_nothing_from_another_that_waits(void **state) {
  (void)state;
  hostcall_context *context = open_context(HOSTCALL_POLLED);
  uint32_t left = 0;
  expect_ok(hostcall_register_host_fn(context, "time", NULL, note_time_left, &left, NULL));
  expect_ok(hostcall_register_host_fn(context, "wait", NULL, publish_and_wait, &left, NULL));
  expect_ok(hostcall_subscribe(context, "tick", call_for_event, NULL, NULL, NULL));
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 5000;
  expect_ok(hostcall_call_wait(context, "wait", &options, NULL, 0, NULL));
  assert_true(left > 5000);
  expect_ok(hostcall_close(context));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(callbacks_run_where_the_program_polls),
    cmocka_unit_test(who_waits_runs_callbacks_meanwhile),
    cmocka_unit_test(a_polled_context_may_be_closed_by_its_own_function),
    cmocka_unit_test(a_polled_context_may_be_closed_while_somebody_waits),
    cmocka_unit_test(a_context_may_be_closed_by_a_callback_of_another_that_runs_inside_its_own),
    cmocka_unit_test(a_callback_inherits_nothing_from_another_that_waits),
};
const test_group polled_tests = {"polled", tests, sizeof tests / sizeof *tests};
