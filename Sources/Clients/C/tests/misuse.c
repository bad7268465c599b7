/* Nothing that is passed in stops the process: each mistake has its status. */
#include "support.h"

static void on_result(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request, (void)result, (void)user_data;
}

static void on_event(hostcall_context *context, uint64_t subscription, const hostcall_event *event, void *user_data) {
  (void)context, (void)subscription, (void)event, (void)user_data;
}

/* Every function that takes a context, with one that it cannot use. */
static void expect_everywhere(hostcall_context *context, hostcall_status status) {
  hostcall_result result = HOSTCALL_RESULT_INIT;
  hostcall_completion completion = HOSTCALL_COMPLETION_INIT;
  hostcall_buffer buffer = HOSTCALL_BUFFER_INIT;
  uint32_t subscribers = 0;
  expect_is(hostcall_shutdown(context, 0), status);
  expect_is(hostcall_ping(context), status);
  assert_int_equal(hostcall_poll_fd(context), -1);
  expect_is(hostcall_poll(context, 0, NULL), status);
  expect_is(hostcall_call(context, "a", NULL, NULL, 0, on_result, NULL, NULL), status);
  expect_is(hostcall_call_wait(context, "a", NULL, NULL, 0, &result), status);
  expect_is(hostcall_cancel(context, 1), status);
  expect_is(hostcall_register_host_fn(context, "a", NULL, echo, NULL, NULL), status);
  expect_is(hostcall_unregister_host_fn(context, "a"), status);
  expect_is(hostcall_host_complete(context, 1, HOSTCALL_OK, NULL, 0), status);
  expect_is(hostcall_host_complete_with(context, 1, &completion), status);
  expect_is(hostcall_host_complete_buffer(context, 1, HOSTCALL_OK, &buffer), status);
  expect_is(hostcall_call_state(context, 1), status);
  expect_is(hostcall_send_item(context, 1, NULL, 0, HOSTCALL_RAW), status);
  expect_is(hostcall_send_item_wait(context, 1, NULL, 0, HOSTCALL_RAW, 1), status);
  expect_is(hostcall_end_items(context, 1), status);
  expect_is(hostcall_add_credit(context, 1, 1), status);
  expect_is(hostcall_subscribe(context, "a", on_event, NULL, NULL, NULL), status);
  expect_is(hostcall_unsubscribe(context, 1), status);
  expect_is(hostcall_publish(context, "a", NULL, NULL, 0, &subscribers), status);
  assert_true(strlen(hostcall_last_error()) > 0);
}

static void a_null_context_is_told_to_be_null(void **state) {
  (void)state;
  expect_everywhere(NULL, HOSTCALL_NULL_POINTER);
  expect_ok(hostcall_close(NULL));
}

static void what_is_no_context_is_told_to_be_none(void **state) {
  (void)state;
  int something = 0;
  expect_everywhere((hostcall_context *)&something, HOSTCALL_INVALID_ARGUMENT);
  expect_everywhere((hostcall_context *)UINTPTR_MAX, HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_close((hostcall_context *)&something), HOSTCALL_INVALID_ARGUMENT);
  /* Nor does what looks like one take the real one along. */
  hostcall_context *context = open_context(0);
  for (uintptr_t bit = 1; bit < 16; bit <<= 1) {
    expect_is(hostcall_close((hostcall_context *)((uintptr_t)context ^ bit)), HOSTCALL_INVALID_ARGUMENT);
  }
  expect_ok(hostcall_ping(context));
  expect_ok(hostcall_close(context));
}

static void a_closed_context_is_told_to_be_closed(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_close(context));
  expect_everywhere(context, HOSTCALL_CLOSED);
  expect_is(hostcall_close(context), HOSTCALL_CLOSED);
}

static void required_pointers_are_missed(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_is(hostcall_connect(NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_open(NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_buffer_alloc(1, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_call(context, NULL, NULL, NULL, 0, on_result, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_call(context, "a", NULL, NULL, 0, NULL, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_call(context, "a", NULL, NULL, 1, on_result, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_call_wait(context, NULL, NULL, NULL, 0, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_register_host_fn(context, NULL, NULL, echo, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_register_host_fn(context, "a", NULL, NULL, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_unregister_host_fn(context, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_host_complete_with(context, 1, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_host_complete_buffer(context, 1, HOSTCALL_OK, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_subscribe(context, NULL, on_event, NULL, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_subscribe(context, "a", NULL, NULL, NULL, NULL), HOSTCALL_NULL_POINTER);
  expect_is(hostcall_publish(context, NULL, NULL, NULL, 0, NULL), HOSTCALL_NULL_POINTER);
  hostcall_call_options items = HOSTCALL_CALL_OPTIONS_INIT;
  items.item_credit = 1;
  expect_is(hostcall_call(context, "a", &items, NULL, 0, on_result, NULL, NULL), HOSTCALL_NULL_POINTER);
  hostcall_call_options metadata = HOSTCALL_CALL_OPTIONS_INIT;
  metadata.metadata_count = 1;
  expect_is(hostcall_call_wait(context, "a", &metadata, NULL, 0, NULL), HOSTCALL_NULL_POINTER);
  const hostcall_metadata entries[] = {{NULL, "v"}, {"k", NULL}};
  metadata.metadata = entries;
  expect_is(hostcall_call_wait(context, "a", &metadata, NULL, 0, NULL), HOSTCALL_NULL_POINTER);
  metadata.metadata = entries + 1;
  expect_is(hostcall_call_wait(context, "a", &metadata, NULL, 0, NULL), HOSTCALL_NULL_POINTER);
  hostcall_result_free(NULL);
  hostcall_buffer_free(NULL);
  expect_ok(hostcall_close(context));
}

static void structures_of_another_size_are_refused(void **state) {
  (void)state;
  hostcall_context *context = open_context(0), *other = NULL;
  const size_t sizes[] = {0, 1, sizeof(size_t), 47, 1000, SIZE_MAX};
  for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
    /* Only the size is there: whatever lies behind it is not looked at. */
    size_t *structure = malloc(sizeof *structure);
    *structure = sizes[index];
    void *wrong = structure;
    expect_is(hostcall_connect(wrong, &other), HOSTCALL_INVALID_ARGUMENT);
    expect_is(hostcall_open(wrong, &other), HOSTCALL_INVALID_ARGUMENT);
    assert_null(other);
    expect_is(hostcall_call(context, "a", wrong, NULL, 0, on_result, NULL, NULL), HOSTCALL_INVALID_ARGUMENT);
    expect_is(hostcall_call_wait(context, "a", wrong, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
    expect_is(hostcall_call_wait(context, "a", NULL, NULL, 0, wrong), HOSTCALL_INVALID_ARGUMENT);
    expect_is(hostcall_register_host_fn(context, "a", wrong, echo, NULL, NULL), HOSTCALL_INVALID_ARGUMENT);
    expect_is(hostcall_host_complete_with(context, 1, wrong), HOSTCALL_INVALID_ARGUMENT);
    expect_is(hostcall_publish(context, "a", wrong, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
    free(structure);
  }
  assert_non_null(strstr(hostcall_last_error(), "struct_size"));
  expect_ok(hostcall_close(context));
}

static void text_that_is_not_utf8_is_refused(void **state) {
  (void)state;
  hostcall_context *context = open_context(0), *other = NULL;
  const char *wrong = "a\xff";
  expect_is(hostcall_call_wait(context, wrong, NULL, NULL, 0, NULL), HOSTCALL_INVALID_UTF8);
  expect_is(hostcall_call(context, wrong, NULL, NULL, 0, on_result, NULL, NULL), HOSTCALL_INVALID_UTF8);
  expect_is(hostcall_register_host_fn(context, wrong, NULL, echo, NULL, NULL), HOSTCALL_INVALID_UTF8);
  expect_is(hostcall_unregister_host_fn(context, wrong), HOSTCALL_INVALID_UTF8);
  expect_is(hostcall_subscribe(context, wrong, on_event, NULL, NULL, NULL), HOSTCALL_INVALID_UTF8);
  expect_is(hostcall_publish(context, wrong, NULL, NULL, 0, NULL), HOSTCALL_INVALID_UTF8);
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = wrong;
  expect_is(hostcall_connect(&options, &other), HOSTCALL_INVALID_UTF8);
  hostcall_call_options call = HOSTCALL_CALL_OPTIONS_INIT;
  const hostcall_metadata entry = {"key", wrong};
  call.metadata = &entry;
  call.metadata_count = 1;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_UTF8);
  expect_ok(hostcall_close(context));
}

static void values_that_cannot_be_are_refused(void **state) {
  (void)state;
  hostcall_context *context = open_context(0), *other = NULL;
  expect_is(hostcall_call_wait(context, "", NULL, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_call_wait(context, "a..b", NULL, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_call_wait(context, "a.*", NULL, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_call_wait(context, "a", NULL, "", SIZE_MAX, NULL), HOSTCALL_TOO_LARGE);
  expect_is(hostcall_publish(context, "hostcall.mine", NULL, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_register_host_fn(context, "hostcall.mine", NULL, echo, NULL, NULL), HOSTCALL_INVALID_ARGUMENT);
  hostcall_call_options call = HOSTCALL_CALL_OPTIONS_INIT;
  call.flags = 1u << 30;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.flags = HOSTCALL_NO_REPLY | HOSTCALL_ARGUMENTS;
  expect_is(hostcall_call(context, "a", &call, NULL, 0, NULL, NULL, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.flags = HOSTCALL_ARGUMENTS;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.flags = 0;
  call.encoding = 3;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.encoding = 256;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.encoding = 0;
  call.inside = 77;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_UNKNOWN_CALL);
  call.inside = 0;
  const hostcall_metadata entries[] = {{"hostcall-mine", ""}, {"key", "1"}, {"key", "2"}, {"Key", ""}};
  call.metadata = entries;
  call.metadata_count = 1;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.metadata = entries + 1;
  call.metadata_count = 2;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.metadata = entries + 3;
  call.metadata_count = 1;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  call.metadata_count = SIZE_MAX;
  expect_is(hostcall_call_wait(context, "a", &call, NULL, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  hostcall_function_options function = HOSTCALL_FUNCTION_OPTIONS_INIT;
  function.mode = 3;
  expect_is(hostcall_register_host_fn(context, "a", &function, echo, NULL, NULL), HOSTCALL_INVALID_ARGUMENT);
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.flags = 64;
  expect_is(hostcall_open(&options, &other), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_poll(context, 0, NULL), HOSTCALL_INVALID_ARGUMENT);
  expect_ok(hostcall_close(context));
}

static void numbers_that_were_never_given_out_are_told_to_be_unknown(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  const uint64_t numbers[] = {0, 1, 12345, UINT64_MAX};
  for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++) {
    uint64_t number = numbers[index];
    expect_is(hostcall_host_complete(context, number, HOSTCALL_OK, NULL, 0), HOSTCALL_UNKNOWN_CALL);
    expect_is(hostcall_call_state(context, number), HOSTCALL_UNKNOWN_CALL);
    expect_is(hostcall_cancel(context, number), HOSTCALL_UNKNOWN_CALL);
    expect_is(hostcall_send_item(context, number, NULL, 0, HOSTCALL_RAW), HOSTCALL_UNKNOWN_CALL);
    expect_is(hostcall_end_items(context, number), HOSTCALL_UNKNOWN_CALL);
    expect_is(hostcall_add_credit(context, number, 1), HOSTCALL_UNKNOWN_CALL);
    expect_is(hostcall_unsubscribe(context, number), HOSTCALL_NOT_FOUND);
  }
  expect_is(hostcall_unregister_host_fn(context, "never.registered"), HOSTCALL_NOT_FOUND);
  expect_ok(hostcall_close(context));
}

static void versions_are_checked(void **state) {
  (void)state;
  assert_int_equal(hostcall_abi_version(), HOSTCALL_ABI_VERSION);
  expect_ok(hostcall_check_abi(HOSTCALL_ABI_VERSION));
  expect_is(hostcall_check_abi(HOSTCALL_ABI_VERSION + 1), HOSTCALL_VERSION);
  assert_non_null(strstr(hostcall_last_error(), "compile"));
  assert_true(strlen(hostcall_version()) > 0);
  assert_string_equal(hostcall_status_name(HOSTCALL_NOT_FOUND), "NOT_FOUND");
  assert_string_equal(hostcall_status_name(HOSTCALL_CLOSED), "CLOSED");
  assert_string_equal(hostcall_status_name(200), "APPLICATION");
  assert_string_equal(hostcall_status_name(-1), "UNKNOWN");
  assert_string_equal(hostcall_status_name(INT32_MAX), "UNKNOWN");
}

static void *ask_for_an_error(void *text) {
  char **copy = text;
  copy[0] = strdup(hostcall_last_error());
  hostcall_ping(NULL);
  copy[1] = strdup(hostcall_last_error());
  return NULL;
}

static void each_thread_has_its_own_last_error(void **state) {
  (void)state;
  expect_is(hostcall_check_abi(99), HOSTCALL_VERSION);
  char *texts[2];
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, ask_for_an_error, texts), 0);
  pthread_join(thread, NULL);
  assert_string_equal(texts[0], "");
  assert_non_null(strstr(texts[1], "null pointer"));
  assert_non_null(strstr(hostcall_last_error(), "99"));
  free(texts[0]);
  free(texts[1]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_null_context_is_told_to_be_null),
    cmocka_unit_test(what_is_no_context_is_told_to_be_none),
    cmocka_unit_test(a_closed_context_is_told_to_be_closed),
    cmocka_unit_test(required_pointers_are_missed),
    cmocka_unit_test(structures_of_another_size_are_refused),
    cmocka_unit_test(text_that_is_not_utf8_is_refused),
    cmocka_unit_test(values_that_cannot_be_are_refused),
    cmocka_unit_test(numbers_that_were_never_given_out_are_told_to_be_unknown),
    cmocka_unit_test(versions_are_checked),
    cmocka_unit_test(each_thread_has_its_own_last_error),
};
const test_group misuse_tests = {"misuse", tests, sizeof tests / sizeof *tests};
