/* Calls: by callback and by waiting, with everything that travels along. */
#include <unistd.h>

#include "support.h"

/* What a callback was told, for the test's own thread to look at. */
typedef struct outcome {
  gate told;
  hostcall_status status;
  int32_t origin;
  uint64_t request;
  uint64_t correlation_id;
  char text[256];
  char message[256];
} outcome;

static void keep_outcome(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context;
  outcome *outcome = user_data;
  /* Several calls may end at the same time. */
  pthread_mutex_lock(&outcome->told.mutex);
  outcome->status = result->status;
  outcome->origin = result->origin;
  outcome->request = request;
  outcome->correlation_id = result->correlation_id;
  snprintf(outcome->text, sizeof outcome->text, "%.*s", (int)result->size, (const char *)result->data);
  snprintf(outcome->message, sizeof outcome->message, "%s", result->message);
  pthread_mutex_unlock(&outcome->told.mutex);
  gate_raise(&outcome->told);
}

/* Answers with everything that has come, as a completion can have it. */
static void mirror(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hostcall_completion completion = HOSTCALL_COMPLETION_INIT;
  completion.data = invocation->data;
  completion.size = invocation->size;
  completion.encoding = invocation->encoding;
  completion.metadata = invocation->metadata;
  completion.metadata_count = invocation->metadata_count;
  hostcall_host_complete_with(context, invocation->call_id, &completion);
}

static void everything_that_travels_arrives(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "mirror", NULL, mirror, NULL, NULL));
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  const hostcall_metadata entries[] = {{"language", "fr"}, {"greeting", "ça va"}};
  options.metadata = entries;
  options.metadata_count = 2;
  options.encoding = 200;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  const char bytes[] = {0, 1, 2, (char)255};
  expect_ok(hostcall_call_wait(context, "mirror", &options, bytes, sizeof bytes, &result));
  assert_int_equal(result.status, HOSTCALL_OK);
  assert_int_equal(result.size, sizeof bytes);
  assert_memory_equal(result.data, bytes, sizeof bytes);
  assert_int_equal(result.encoding, 200);
  assert_int_equal(result.metadata_count, 2);
  assert_string_equal(result.metadata[1].key, "greeting");
  assert_string_equal(result.metadata[1].value, "ça va");
  assert_string_equal(result.message, "");
  assert_true(result.correlation_id != 0);
  hostcall_result_free(&result);
  expect_ok(hostcall_call_wait(context, "mirror", NULL, NULL, 0, &result));
  assert_int_equal(result.size, 0);
  hostcall_result_free(&result);
  expect_ok(hostcall_close(context));
}

static void answer_with_error(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hostcall_host_complete(context, invocation->call_id, (hostcall_status)invocation->data[0], "no such user", 12);
}

static void an_error_arrives_whole(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "fail", NULL, answer_with_error, NULL, NULL));
  const uint8_t statuses[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 99, 128, 255};
  for (size_t index = 0; index < sizeof statuses; index++) {
    hostcall_result result = HOSTCALL_RESULT_INIT;
    expect_is(hostcall_call_wait(context, "fail", NULL, statuses + index, 1, &result), statuses[index]);
    assert_int_equal(result.status, statuses[index]);
    assert_int_equal(result.origin, HOSTCALL_FROM_WORKER);
    assert_memory_equal(result.data, "no such user", 12);
    assert_non_null(strstr(result.message, "no such user"));
    assert_string_equal(result.message, hostcall_last_error());
    hostcall_result_free(&result);
  }
  expect_ok(hostcall_close(context));
}

static void a_name_that_nobody_has_is_the_daemons_to_say(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  outcome outcome = {.told = GATE_INIT};
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "nobody", NULL, "x", 1, keep_outcome, &outcome, &request));
  gate_wait(&outcome.told, 1);
  assert_int_equal(outcome.status, HOSTCALL_NOT_FOUND);
  assert_int_equal(outcome.origin, HOSTCALL_FROM_DAEMON);
  assert_true(outcome.request == request && request != 0);
  assert_non_null(strstr(outcome.message, "nobody"));
  expect_is(hostcall_cancel(context, request), HOSTCALL_LATE);
  expect_ok(hostcall_close(context));
}

/* Keeps the calls that come until the test completes them. */
typedef struct shelf {
  gate came;
  gate over;
  uint64_t calls[64];
  uint32_t timeouts[64];
  hostcall_status why;
} shelf;

static void shelve(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)context;
  shelf *shelf = user_data;
  pthread_mutex_lock(&shelf->came.mutex);
  shelf->calls[shelf->came.count] = invocation->call_id;
  shelf->timeouts[shelf->came.count] = invocation->timeout_milliseconds;
  pthread_mutex_unlock(&shelf->came.mutex);
  gate_raise(&shelf->came);
}

static void note_cancel(hostcall_context *context, uint64_t call_id, hostcall_status why, void *user_data) {
  (void)context, (void)call_id;
  shelf *shelf = user_data;
  shelf->why = why;
  gate_raise(&shelf->over);
}

static void register_shelf(hostcall_context *context, shelf *shelf) {
  hostcall_function_options options = HOSTCALL_FUNCTION_OPTIONS_INIT;
  options.on_cancel = note_cancel;
  options.concurrency = 1;
  expect_ok(hostcall_register_host_fn(context, "shelf", &options, shelve, shelf, NULL));
}

static void a_cancel_reaches_the_host_function(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  shelf shelf = {.came = GATE_INIT, .over = GATE_INIT};
  register_shelf(context, &shelf);
  outcome outcome = {.told = GATE_INIT};
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "shelf", NULL, NULL, 0, keep_outcome, &outcome, &request));
  gate_wait(&shelf.came, 1);
  expect_ok(hostcall_call_state(context, shelf.calls[0]));
  expect_ok(hostcall_cancel(context, request));
  gate_wait(&outcome.told, 1);
  gate_wait(&shelf.over, 1);
  assert_int_equal(outcome.status, HOSTCALL_CANCELLED);
  assert_int_equal(shelf.why, HOSTCALL_CANCELLED);
  expect_is(hostcall_call_state(context, shelf.calls[0]), HOSTCALL_LATE);
  /* Its place is free again once it was completed. */
  expect_is(hostcall_host_complete(context, shelf.calls[0], HOSTCALL_OK, NULL, 0), HOSTCALL_LATE);
  expect_ok(hostcall_call(context, "shelf", NULL, NULL, 0, keep_outcome, &outcome, NULL));
  gate_wait(&shelf.came, 2);
  expect_ok(hostcall_host_complete(context, shelf.calls[1], HOSTCALL_OK, "done", 4));
  gate_wait(&outcome.told, 2);
  assert_string_equal(outcome.text, "done");
  expect_ok(hostcall_close(context));
}

static void a_deadline_ends_the_call_on_both_sides(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  shelf shelf = {.came = GATE_INIT, .over = GATE_INIT};
  register_shelf(context, &shelf);
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 20;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_is(hostcall_call_wait(context, "shelf", &options, NULL, 0, &result), HOSTCALL_TIMEOUT);
  assert_int_equal(result.origin, HOSTCALL_FROM_DAEMON);
  hostcall_result_free(&result);
  gate_wait(&shelf.over, 1);
  assert_int_equal(shelf.why, HOSTCALL_TIMEOUT);
  assert_in_range(shelf.timeouts[0], 1, 20);
  expect_is(hostcall_call_state(context, shelf.calls[0]), HOSTCALL_LATE);
  expect_is(hostcall_host_complete(context, shelf.calls[0], HOSTCALL_OK, "too late", 8), HOSTCALL_LATE);
  expect_is(hostcall_host_complete(context, shelf.calls[0], HOSTCALL_OK, "too late", 8), HOSTCALL_LATE);
  /* One that nobody completes is told of its end once, also when its context is closed after that. */
  expect_is(hostcall_call_wait(context, "shelf", &options, NULL, 0, NULL), HOSTCALL_TIMEOUT);
  gate_wait(&shelf.over, 2);
  expect_ok(hostcall_close(context));
  assert_int_equal(gate_count(&shelf.over), 2);
}

static void pass_on(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 600000;
  hostcall_status status = hostcall_call_wait(context, "shelf", &options, NULL, 0, &result);
  hostcall_host_complete(context, invocation->call_id, status == HOSTCALL_OK ? HOSTCALL_OK : HOSTCALL_FAILED,
                         result.data, result.size);
  hostcall_result_free(&result);
}

static void a_call_inside_a_host_function_has_what_is_left_of_its_time(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  shelf shelf = {.came = GATE_INIT, .over = GATE_INIT};
  register_shelf(context, &shelf);
  expect_ok(hostcall_register_host_fn(context, "pass", NULL, pass_on, NULL, NULL));
  outcome outcome = {.told = GATE_INIT};
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.timeout_milliseconds = 50000;
  expect_ok(hostcall_call(context, "pass", &options, NULL, 0, keep_outcome, &outcome, NULL));
  gate_wait(&shelf.came, 1);
  assert_in_range(shelf.timeouts[0], 1, 50000);
  /* The same from another thread, which says for which call it calls. */
  hostcall_call_options inside = HOSTCALL_CALL_OPTIONS_INIT;
  inside.inside = shelf.calls[0];
  inside.flags = HOSTCALL_NO_REPLY;
  expect_ok(hostcall_call(context, "shelf", &inside, NULL, 0, NULL, NULL, NULL));
  expect_ok(hostcall_host_complete(context, shelf.calls[0], HOSTCALL_OK, "inner", 5));
  gate_wait(&shelf.came, 2);
  assert_in_range(shelf.timeouts[1], 1, 50000);
  gate_wait(&outcome.told, 1);
  assert_string_equal(outcome.text, "inner");
  expect_is(hostcall_call_wait(context, "shelf", &inside, NULL, 0, NULL), HOSTCALL_DUPLICATE);
  expect_ok(hostcall_close(context));
}

static void a_call_waits_for_a_worker_where_it_is_asked_to(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.flags = HOSTCALL_WAIT;
  outcome outcome = {.told = GATE_INIT};
  expect_ok(hostcall_call(context, "echo", &options, "patient", 7, keep_outcome, &outcome, NULL));
  expect_ok(hostcall_ping(context));
  assert_int_equal(gate_count(&outcome.told), 0);
  expect_ok(hostcall_register_host_fn(context, "echo", NULL, echo, NULL, NULL));
  gate_wait(&outcome.told, 1);
  assert_string_equal(outcome.text, "patient");
  expect_ok(hostcall_close(context));
}

static void a_call_that_wants_no_reply_still_comes(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  shelf shelf = {.came = GATE_INIT, .over = GATE_INIT};
  register_shelf(context, &shelf);
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.flags = HOSTCALL_NO_REPLY;
  expect_ok(hostcall_call(context, "shelf", &options, NULL, 0, NULL, NULL, NULL));
  gate_wait(&shelf.came, 1);
  expect_ok(hostcall_host_complete(context, shelf.calls[0], HOSTCALL_OK, NULL, 0));
  expect_ok(hostcall_close(context));
}

enum { CALLS = 500, CALLERS = 8 };

static void *call_often(void *argument) {
  hostcall_context *context = argument;
  intptr_t wrong = 0;
  for (int number = 0; number < CALLS; number++) {
    char text[32];
    int size = snprintf(text, sizeof text, "%p %d", (void *)&wrong, number);
    hostcall_result result = HOSTCALL_RESULT_INIT;
    hostcall_status status = hostcall_call_wait(context, "echo", NULL, text, (size_t)size, &result);
    if (status != HOSTCALL_OK || result.size != (size_t)size || memcmp(result.data, text, result.size) != 0) wrong++;
    hostcall_result_free(&result);
  }
  return (void *)wrong;
}

static void many_threads_get_each_its_own_answers(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "echo", NULL, echo, NULL, NULL));
  pthread_t threads[CALLERS];
  for (int index = 0; index < CALLERS; index++) {
    assert_int_equal(pthread_create(&threads[index], NULL, call_often, context), 0);
  }
  for (int index = 0; index < CALLERS; index++) {
    void *wrong = NULL;
    pthread_join(threads[index], &wrong);
    assert_null(wrong);
  }
  expect_ok(hostcall_close(context));
}

static void a_megabyte_comes_back_unchanged_and_more_than_may_be_is_refused(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "echo", NULL, echo, NULL, NULL));
  size_t size = 17 << 20;
  uint8_t *bytes = malloc(size);
  for (size_t index = 0; index < size; index++) bytes[index] = (uint8_t)(index * 2654435761u >> 13);
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(context, "echo", NULL, bytes, 1 << 20, &result));
  assert_int_equal(result.size, 1 << 20);
  assert_memory_equal(result.data, bytes, result.size);
  hostcall_result_free(&result);
  expect_is(hostcall_call_wait(context, "echo", NULL, bytes, size, NULL), HOSTCALL_TOO_LARGE);
  expect_ok(hostcall_ping(context));
  free(bytes);
  expect_ok(hostcall_close(context));
}

static void calls_under_way_end_when_their_context_is_closed(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  shelf shelf = {.came = GATE_INIT, .over = GATE_INIT};
  register_shelf(context, &shelf);
  outcome outcome = {.told = GATE_INIT};
  for (int number = 0; number < 10; number++) {
    expect_ok(hostcall_call(context, "shelf", NULL, NULL, 0, keep_outcome, &outcome, NULL));
  }
  gate_wait(&shelf.came, 1);
  expect_ok(hostcall_close(context));
  assert_int_equal(gate_count(&outcome.told), 10);
  assert_int_equal(outcome.status, HOSTCALL_CLOSED);
  expect_is(hostcall_host_complete(context, shelf.calls[0], HOSTCALL_OK, NULL, 0), HOSTCALL_CLOSED);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(everything_that_travels_arrives),
    cmocka_unit_test(an_error_arrives_whole),
    cmocka_unit_test(a_name_that_nobody_has_is_the_daemons_to_say),
    cmocka_unit_test(a_cancel_reaches_the_host_function),
    cmocka_unit_test(a_deadline_ends_the_call_on_both_sides),
    cmocka_unit_test(a_call_inside_a_host_function_has_what_is_left_of_its_time),
    cmocka_unit_test(a_call_waits_for_a_worker_where_it_is_asked_to),
    cmocka_unit_test(a_call_that_wants_no_reply_still_comes),
    cmocka_unit_test(many_threads_get_each_its_own_answers),
    cmocka_unit_test(a_megabyte_comes_back_unchanged_and_more_than_may_be_is_refused),
    cmocka_unit_test(calls_under_way_end_when_their_context_is_closed),
};
const test_group call_tests = {"calls", tests, sizeof tests / sizeof *tests};
