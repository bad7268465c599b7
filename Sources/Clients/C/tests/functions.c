/* Host functions: registered, replaced and removed while they run; each pointer is released once, after its last use. */
#include "support.h"

/* A host function's data, which notices a use after its release. */
typedef struct data {
  gate *released;
  gate *entered;
  gate *leave;
  const char *answer;
  bool is_gone;
} data;

static void answer_when_told(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  data *data = user_data;
  gate_raise(data->entered);
  if (data->leave != NULL) gate_wait_inside(data->leave, 1);
  const char *answer = data->is_gone ? "used after its release" : data->answer;
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, answer, strlen(answer));
}

static void release_data(void *user_data) {
  data *data = user_data;
  data->is_gone = true;
  gate_raise(data->released);
}

static void count_result(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request;
  if (result->status == HOSTCALL_OK) gate_raise(user_data);
}

static void expect_answer(hostcall_context *context, const char *name, const char *answer) {
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(context, name, NULL, NULL, 0, &result));
  assert_int_equal(result.size, strlen(answer));
  assert_memory_equal(result.data, answer, result.size);
  hostcall_result_free(&result);
}

static void a_function_that_is_replaced_while_it_runs_finishes_and_is_released_then(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  gate released = GATE_INIT, entered = GATE_INIT, leave = GATE_INIT, answered = GATE_INIT;
  data first = {&released, &entered, &leave, "first", false};
  data second = {&released, &entered, NULL, "second", false};
  expect_ok(hostcall_register_host_fn(context, "f", NULL, answer_when_told, &first, release_data));
  expect_ok(hostcall_call(context, "f", NULL, NULL, 0, count_result, &answered, NULL));
  gate_wait(&entered, 1);
  expect_is(hostcall_register_host_fn(context, "f", NULL, answer_when_told, &second, release_data),
            HOSTCALL_ALREADY_REGISTERED);
  hostcall_function_options replace = HOSTCALL_FUNCTION_OPTIONS_INIT;
  replace.mode = HOSTCALL_REPLACE;
  expect_ok(hostcall_register_host_fn(context, "f", &replace, answer_when_told, &second, release_data));
  expect_answer(context, "f", "second");
  assert_int_equal(gate_count(&released), 0);
  gate_raise(&leave);
  gate_wait(&answered, 1);
  gate_wait(&released, 1);
  assert_true(first.is_gone && !second.is_gone);
  expect_ok(hostcall_close(context));
  assert_int_equal(gate_count(&released), 2);
}

static void a_function_that_is_removed_while_it_runs_finishes_and_is_released_then(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  gate released = GATE_INIT, entered = GATE_INIT, leave = GATE_INIT, answered = GATE_INIT;
  data data = {&released, &entered, &leave, "answer", false};
  expect_ok(hostcall_register_host_fn(context, "f", NULL, answer_when_told, &data, release_data));
  expect_ok(hostcall_call(context, "f", NULL, NULL, 0, count_result, &answered, NULL));
  gate_wait(&entered, 1);
  expect_ok(hostcall_unregister_host_fn(context, "f"));
  expect_is(hostcall_unregister_host_fn(context, "f"), HOSTCALL_NOT_FOUND);
  expect_is(hostcall_call_wait(context, "f", NULL, NULL, 0, NULL), HOSTCALL_NOT_FOUND);
  assert_int_equal(gate_count(&released), 0);
  gate_raise(&leave);
  gate_wait(&answered, 1);
  gate_wait(&released, 1);
  /* The name can be had again. */
  data.leave = NULL;
  data.is_gone = false;
  expect_ok(hostcall_register_host_fn(context, "f", NULL, answer_when_told, &data, release_data));
  expect_answer(context, "f", "answer");
  expect_ok(hostcall_close(context));
  assert_int_equal(gate_count(&released), 2);
}

static void what_could_not_be_registered_is_not_released(void **state) {
  (void)state;
  hostcall_context *context = open_context(0), *other = open_context(0);
  gate released = GATE_INIT;
  expect_is(hostcall_register_host_fn(context, "no name", NULL, echo, &released, raise_when_released),
            HOSTCALL_INVALID_ARGUMENT);
  expect_ok(hostcall_register_host_fn(context, "f", NULL, echo, &released, raise_when_released));
  expect_is(hostcall_register_host_fn(context, "f", NULL, echo, &released, raise_when_released),
            HOSTCALL_ALREADY_REGISTERED);
  expect_ok(hostcall_close(other));
  expect_is(hostcall_register_host_fn(other, "f", NULL, echo, &released, raise_when_released), HOSTCALL_CLOSED);
  expect_ok(hostcall_close(context));
  assert_int_equal(gate_count(&released), 1);
}

static void answer_name(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, invocation->name, strlen(invocation->name));
}

static void a_pattern_says_which_name_was_called(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "files.*", NULL, answer_name, NULL, NULL));
  expect_answer(context, "files.open", "files.open");
  expect_ok(hostcall_close(context));
}

/* A call that is completed elsewhere. */
typedef struct deferred {
  hostcall_context *context;
  gate came;
  uint64_t call_id;
} deferred;

static void defer(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  deferred *deferred = user_data;
  deferred->context = context;
  deferred->call_id = invocation->call_id;
  gate_raise(&deferred->came);
}

static void *complete_elsewhere(void *argument) {
  deferred *deferred = argument;
  gate_wait_inside(&deferred->came, 1);
  return (void *)(intptr_t)hostcall_host_complete(deferred->context, deferred->call_id, HOSTCALL_OK, "later", 5);
}

static void a_call_may_be_completed_later_from_any_thread_and_once(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  deferred deferred = {.came = GATE_INIT};
  expect_ok(hostcall_register_host_fn(context, "f", NULL, defer, &deferred, NULL));
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, complete_elsewhere, &deferred), 0);
  expect_answer(context, "f", "later");
  void *status = NULL;
  pthread_join(thread, &status);
  assert_int_equal((intptr_t)status, HOSTCALL_OK);
  expect_is(hostcall_host_complete(context, deferred.call_id, HOSTCALL_OK, NULL, 0), HOSTCALL_DUPLICATE);
  expect_is(hostcall_call_state(context, deferred.call_id), HOSTCALL_DUPLICATE);
  expect_ok(hostcall_close(context));
}

static void complete_wrongly(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  int *refused = user_data;
  const hostcall_status statuses[] = {HOSTCALL_WORKER_LOST, 9, 100, 127, 256, -1, HOSTCALL_CLOSED, 26};
  for (size_t index = 0; index < sizeof statuses / sizeof *statuses; index++) {
    if (hostcall_host_complete(context, invocation->call_id, statuses[index], NULL, 0) == HOSTCALL_INVALID_ARGUMENT) {
      (*refused)++;
    }
  }
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, "right", 5);
}

static void a_status_that_a_worker_may_not_use_leaves_the_call_going_on(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  int refused = 0;
  expect_ok(hostcall_register_host_fn(context, "f", NULL, complete_wrongly, &refused, NULL));
  expect_answer(context, "f", "right");
  assert_int_equal(refused, 8);
  expect_ok(hostcall_close(context));
}

static void call_again(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  uint8_t depth = invocation->data[0];
  if (depth > 0) {
    depth--;
    hostcall_call_wait(context, "again", NULL, &depth, 1, &result);
  }
  char text[64];
  int size = snprintf(text, sizeof text, "%d%.*s", depth, (int)result.size, (const char *)result.data);
  hostcall_result_free(&result);
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, text, (size_t)size);
}

static void a_function_may_call_itself(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "again", NULL, call_again, NULL, NULL));
  uint8_t depth = 20;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(context, "again", NULL, &depth, 1, &result));
  assert_true(result.size > 20);
  hostcall_result_free(&result);
  expect_ok(hostcall_close(context));
}

/* A host function that closes its own context. */
typedef struct closer {
  gate closed;
  gate released;
  hostcall_status first;
  hostcall_status second;
} closer;

static void close_inside(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  closer *closer = user_data;
  closer->first = hostcall_close(context);
  closer->second = hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, NULL, 0);
  gate_raise(&closer->closed);
}

static void release_closer(void *user_data) { gate_raise(&((closer *)user_data)->released); }

static void a_context_may_be_closed_by_its_own_function(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  closer closer = {.closed = GATE_INIT, .released = GATE_INIT, .first = -1, .second = -1};
  expect_ok(hostcall_register_host_fn(context, "close", NULL, close_inside, &closer, release_closer));
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_is(hostcall_call_wait(context, "close", NULL, NULL, 0, &result), HOSTCALL_CLOSED);
  hostcall_result_free(&result);
  gate_wait(&closer.closed, 1);
  gate_wait(&closer.released, 1);
  assert_int_equal(closer.first, HOSTCALL_OK);
  assert_int_equal(closer.second, HOSTCALL_CLOSED);
}

static void shutting_down_waits_for_what_runs_as_long_as_it_may(void **state) {
  (void)state;
  gate released = GATE_INIT, entered = GATE_INIT, leave = GATE_INIT, answered = GATE_INIT;
  data data = {&released, &entered, &leave, "answer", false};
  char *folder = make_folder();
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  char socket[128];
  snprintf(socket, sizeof socket, "%s/s", folder);
  options.socket_path = socket;
  hostcall_context *bridge = NULL, *worker = NULL;
  expect_ok(hostcall_open(&options, &bridge));
  expect_ok(hostcall_connect(&options, &worker));
  expect_ok(hostcall_register_host_fn(worker, "f", NULL, answer_when_told, &data, release_data));
  expect_ok(hostcall_call(bridge, "f", NULL, NULL, 0, count_result, &answered, NULL));
  gate_wait(&entered, 1);
  gate_raise(&leave);
  expect_ok(hostcall_shutdown(worker, 60000));
  assert_int_equal(gate_count(&released), 1);
  gate_wait(&answered, 1);
  /* And where it does not end. */
  deferred deferred = {.came = GATE_INIT};
  expect_ok(hostcall_connect(&options, &worker));
  expect_ok(hostcall_register_host_fn(worker, "g", NULL, defer, &deferred, NULL));
  expect_ok(hostcall_call(bridge, "g", NULL, NULL, 0, count_result, &answered, NULL));
  gate_wait(&deferred.came, 1);
  expect_is(hostcall_shutdown(worker, 10), HOSTCALL_TIMEOUT);
  expect_is(hostcall_ping(worker), HOSTCALL_CLOSED);
  expect_ok(hostcall_close(bridge));
  remove_folder(folder);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_function_that_is_replaced_while_it_runs_finishes_and_is_released_then),
    cmocka_unit_test(a_function_that_is_removed_while_it_runs_finishes_and_is_released_then),
    cmocka_unit_test(what_could_not_be_registered_is_not_released),
    cmocka_unit_test(a_pattern_says_which_name_was_called),
    cmocka_unit_test(a_call_may_be_completed_later_from_any_thread_and_once),
    cmocka_unit_test(a_status_that_a_worker_may_not_use_leaves_the_call_going_on),
    cmocka_unit_test(a_function_may_call_itself),
    cmocka_unit_test(a_context_may_be_closed_by_its_own_function),
    cmocka_unit_test(shutting_down_waits_for_what_runs_as_long_as_it_may),
};
const test_group function_tests = {"functions", tests, sizeof tests / sizeof *tests};
