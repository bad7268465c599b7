/* Buffers and results have one owner each, and freeing twice does nothing. */
#include "support.h"

static void a_buffer_is_freed_once_however_often_it_is_asked_for(void **state) {
  (void)state;
  hostcall_buffer buffer = HOSTCALL_BUFFER_INIT;
  expect_ok(hostcall_buffer_alloc(1000, &buffer));
  assert_int_equal(buffer.size, 1000);
  for (size_t index = 0; index < buffer.size; index++) assert_int_equal(buffer.data[index], 0);
  memset(buffer.data, 7, buffer.size);
  expect_is(hostcall_buffer_alloc(1, &buffer), HOSTCALL_INVALID_ARGUMENT);
  assert_int_equal(buffer.size, 1000);
  hostcall_buffer copy = buffer;
  hostcall_buffer_free(&buffer);
  assert_null(buffer.data);
  assert_int_equal(buffer.size, 0);
  hostcall_buffer_free(&buffer);
  hostcall_buffer_free(&copy);
}

static void a_buffer_of_nothing_can_be_had_and_one_of_everything_cannot(void **state) {
  (void)state;
  hostcall_buffer buffer = HOSTCALL_BUFFER_INIT;
  expect_ok(hostcall_buffer_alloc(0, &buffer));
  assert_int_equal(buffer.size, 0);
  hostcall_buffer_free(&buffer);
  expect_is(hostcall_buffer_alloc(SIZE_MAX, &buffer), HOSTCALL_OVERLOADED);
  assert_null(buffer.data);
  hostcall_buffer_free(&buffer);
}

static void a_result_is_freed_once_and_outlives_its_context(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "echo", NULL, echo, NULL, NULL));
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(context, "echo", NULL, "hello", 5, &result));
  expect_is(hostcall_call_wait(context, "echo", NULL, "hello", 5, &result), HOSTCALL_INVALID_ARGUMENT);
  expect_ok(hostcall_close(context));
  assert_memory_equal(result.data, "hello", 5);
  hostcall_result copy = result;
  hostcall_result_free(&result);
  assert_null(result.data);
  hostcall_result_free(&result);
  hostcall_result_free(&copy);
}

static void give_buffer(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  hostcall_buffer *kept = user_data;
  hostcall_buffer buffer = HOSTCALL_BUFFER_INIT;
  if (hostcall_buffer_alloc(invocation->size, &buffer) != HOSTCALL_OK) return;
  memcpy(buffer.data, invocation->data, invocation->size);
  *kept = buffer;
  hostcall_host_complete_buffer(context, invocation->call_id, 12, &buffer);
  bool was_kept = buffer.data != NULL;
  hostcall_host_complete_buffer(context, invocation->call_id, was_kept ? HOSTCALL_OK : HOSTCALL_FAILED, &buffer);
}

static void a_buffer_that_was_given_away_is_empty(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  hostcall_buffer copy = HOSTCALL_BUFFER_INIT;
  expect_ok(hostcall_register_host_fn(context, "give", NULL, give_buffer, &copy, NULL));
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(context, "give", NULL, "hello", 5, &result));
  assert_int_equal(result.size, 5);
  assert_memory_equal(result.data, "hello", 5);
  hostcall_result_free(&result);
  /* Somebody else's copy of it cannot be given away again. */
  expect_is(hostcall_host_complete_buffer(context, 1, HOSTCALL_OK, &copy), HOSTCALL_INVALID_ARGUMENT);
  hostcall_buffer_free(&copy);
  expect_ok(hostcall_close(context));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_buffer_is_freed_once_however_often_it_is_asked_for),
    cmocka_unit_test(a_buffer_of_nothing_can_be_had_and_one_of_everything_cannot),
    cmocka_unit_test(a_result_is_freed_once_and_outlives_its_context),
    cmocka_unit_test(a_buffer_that_was_given_away_is_empty),
};
const test_group memory_tests = {"memory", tests, sizeof tests / sizeof *tests};
