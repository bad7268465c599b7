/* Items both ways, no faster than they are taken. */
#include "support.h"

/* Sends as many items as the payload says, waiting for room, and then completes. */
static void send_numbers(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)user_data;
  char count[16] = {0};
  memcpy(count, invocation->data, invocation->size < 15 ? invocation->size : 15);
  for (int number = 0; number < atoi(count); number++) {
    char text[16];
    int size = snprintf(text, sizeof text, "%d", number);
    hostcall_status status =
        hostcall_send_item_wait(context, invocation->call_id, text, (size_t)size, HOSTCALL_JSON, UINT32_MAX);
    if (status != HOSTCALL_OK) {
      hostcall_host_complete(context, invocation->call_id, HOSTCALL_CANCELLED, NULL, 0);
      return;
    }
  }
  hostcall_host_complete(context, invocation->call_id, HOSTCALL_OK, "done", 4);
}

/* What the reader of a stream has seen. */
typedef struct reader {
  gate items;
  gate over;
  int wrong;
  bool grants;
  hostcall_status status;
} reader;

static void take_item(hostcall_context *context, uint64_t request, const hostcall_item *item, void *user_data) {
  reader *reader = user_data;
  char text[16];
  int size = snprintf(text, sizeof text, "%d", gate_count(&reader->items));
  if (item->size != (size_t)size || memcmp(item->data, text, item->size) != 0 || item->encoding != HOSTCALL_JSON ||
      gate_count(&reader->over) > 0) {
    reader->wrong++;
  }
  gate_raise(&reader->items);
  if (reader->grants) hostcall_add_credit(context, request, 1);
}

static void end_reading(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request;
  reader *reader = user_data;
  reader->status = result->status;
  gate_raise(&reader->over);
}

static hostcall_call_options reading(uint32_t credit) {
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.item_credit = credit;
  options.on_item = take_item;
  return options;
}

static void thousands_of_items_come_in_order_and_then_the_result(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "numbers", NULL, send_numbers, NULL, NULL));
  reader reader = {.items = GATE_INIT, .over = GATE_INIT, .grants = true};
  hostcall_call_options options = reading(16);
  expect_ok(hostcall_call(context, "numbers", &options, "10000", 5, end_reading, &reader, NULL));
  gate_wait(&reader.over, 1);
  assert_int_equal(gate_count(&reader.items), 10000);
  assert_int_equal(reader.wrong, 0);
  assert_int_equal(reader.status, HOSTCALL_OK);
  expect_ok(hostcall_close(context));
}

static void no_more_items_come_than_there_is_credit_for(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "numbers", NULL, send_numbers, NULL, NULL));
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  hostcall_call_options options = reading(3);
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "numbers", &options, "100", 3, end_reading, &reader, &request));
  gate_wait(&reader.items, 3);
  expect_ok(hostcall_ping(context));
  assert_int_equal(gate_count(&reader.items), 3);
  expect_ok(hostcall_add_credit(context, request, 2));
  gate_wait(&reader.items, 5);
  expect_ok(hostcall_ping(context));
  assert_int_equal(gate_count(&reader.items), 5);
  expect_ok(hostcall_cancel(context, request));
  gate_wait(&reader.over, 1);
  assert_int_equal(reader.status, HOSTCALL_CANCELLED);
  assert_int_equal(reader.wrong, 0);
  expect_is(hostcall_add_credit(context, request, 1), HOSTCALL_LATE);
  expect_ok(hostcall_close(context));
}

/* A sender that does not wait. */
typedef struct pusher {
  gate came;
  gate room;
  uint64_t call_id;
} pusher;

static void keep_call(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)context;
  pusher *pusher = user_data;
  pusher->call_id = invocation->call_id;
  gate_raise(&pusher->came);
}

static void note_room(hostcall_context *context, uint64_t id, void *user_data) {
  (void)context, (void)id;
  gate_raise(&((pusher *)user_data)->room);
}

static void who_does_not_wait_is_told_when_there_is_room(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  pusher pusher = {.came = GATE_INIT, .room = GATE_INIT};
  hostcall_function_options function = HOSTCALL_FUNCTION_OPTIONS_INIT;
  function.on_room = note_room;
  expect_ok(hostcall_register_host_fn(context, "push", &function, keep_call, &pusher, NULL));
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  hostcall_call_options options = reading(2);
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "push", &options, NULL, 0, end_reading, &reader, &request));
  gate_wait(&pusher.came, 1);
  expect_ok(hostcall_send_item(context, pusher.call_id, "0", 1, HOSTCALL_JSON));
  expect_ok(hostcall_send_item(context, pusher.call_id, "1", 1, HOSTCALL_JSON));
  expect_is(hostcall_send_item(context, pusher.call_id, "2", 1, HOSTCALL_JSON), HOSTCALL_OVERLOADED);
  expect_is(hostcall_send_item(context, pusher.call_id, "2", 1, HOSTCALL_JSON), HOSTCALL_OVERLOADED);
  expect_is(hostcall_send_item_wait(context, pusher.call_id, "2", 1, HOSTCALL_JSON, 5), HOSTCALL_TIMEOUT);
  assert_int_equal(gate_count(&pusher.room), 0);
  expect_ok(hostcall_add_credit(context, request, 1));
  gate_wait(&pusher.room, 1);
  expect_ok(hostcall_send_item(context, pusher.call_id, "2", 1, HOSTCALL_JSON));
  expect_is(hostcall_send_item(context, pusher.call_id, "3", 1, 77), HOSTCALL_INVALID_ARGUMENT);
  expect_ok(hostcall_host_complete(context, pusher.call_id, HOSTCALL_OK, NULL, 0));
  gate_wait(&reader.over, 1);
  assert_int_equal(gate_count(&reader.items), 3);
  assert_int_equal(reader.wrong, 0);
  expect_is(hostcall_send_item(context, pusher.call_id, "4", 1, HOSTCALL_RAW), HOSTCALL_LATE);
  expect_ok(hostcall_close(context));
}

static void who_takes_no_items_gets_none(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  pusher pusher = {.came = GATE_INIT, .room = GATE_INIT};
  expect_ok(hostcall_register_host_fn(context, "push", NULL, keep_call, &pusher, NULL));
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "push", NULL, NULL, 0, end_reading, &reader, &request));
  gate_wait(&pusher.came, 1);
  expect_is(hostcall_send_item(context, pusher.call_id, "0", 1, HOSTCALL_RAW), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_send_item(context, request, "0", 1, HOSTCALL_RAW), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_end_items(context, request), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_add_credit(context, request, 1), HOSTCALL_INVALID_ARGUMENT);
  expect_is(hostcall_add_credit(context, pusher.call_id, 1), HOSTCALL_INVALID_ARGUMENT);
  expect_ok(hostcall_host_complete(context, pusher.call_id, HOSTCALL_OK, NULL, 0));
  gate_wait(&reader.over, 1);
  expect_ok(hostcall_close(context));
}

/* Adds up argument items. */
static void begin_sum(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  long *sum = user_data;
  *sum = 0;
  if ((invocation->flags & HOSTCALL_ARGUMENTS) == 0) {
    hostcall_host_complete(context, invocation->call_id, HOSTCALL_FAILED, NULL, 0);
    return;
  }
  hostcall_add_credit(context, invocation->call_id, 8);
}

static void add_argument(hostcall_context *context, uint64_t call_id, const hostcall_item *item, void *user_data) {
  long *sum = user_data;
  char text[32] = {0};
  if (item == NULL) {
    int size = snprintf(text, sizeof text, "%ld", *sum);
    hostcall_host_complete(context, call_id, HOSTCALL_OK, text, (size_t)size);
    return;
  }
  memcpy(text, item->data, item->size < 31 ? item->size : 31);
  *sum += atol(text);
  hostcall_add_credit(context, call_id, 1);
}

static void keep_sum(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request;
  reader *reader = user_data;
  reader->status = result->status;
  char text[32] = {0};
  memcpy(text, result->data, result->size < 31 ? result->size : 31);
  reader->wrong = atoi(text);
  gate_raise(&reader->over);
}

static void arguments_arrive_in_order_and_end(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  long sum = 0;
  hostcall_function_options function = HOSTCALL_FUNCTION_OPTIONS_INIT;
  function.on_item = add_argument;
  expect_ok(hostcall_register_host_fn(context, "sum", &function, begin_sum, &sum, NULL));
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.flags = HOSTCALL_ARGUMENTS;
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "sum", &options, NULL, 0, keep_sum, &reader, &request));
  for (int number = 1; number <= 1000; number++) {
    char text[16];
    int size = snprintf(text, sizeof text, "%d", number);
    expect_ok(hostcall_send_item_wait(context, request, text, (size_t)size, HOSTCALL_RAW, 60000));
  }
  expect_ok(hostcall_end_items(context, request));
  gate_wait(&reader.over, 1);
  assert_int_equal(reader.status, HOSTCALL_OK);
  assert_int_equal(reader.wrong, 500500);
  expect_is(hostcall_send_item(context, request, "1", 1, HOSTCALL_RAW), HOSTCALL_LATE);
  /* None at all. */
  expect_ok(hostcall_call(context, "sum", &options, NULL, 0, keep_sum, &reader, &request));
  expect_ok(hostcall_end_items(context, request));
  gate_wait(&reader.over, 2);
  assert_int_equal(reader.wrong, 0);
  expect_ok(hostcall_close(context));
}

static void a_sender_that_waits_is_freed_by_the_end_of_its_call(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  expect_ok(hostcall_register_host_fn(context, "numbers", NULL, send_numbers, NULL, NULL));
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  hostcall_call_options options = reading(1);
  expect_ok(hostcall_call(context, "numbers", &options, "100", 3, end_reading, &reader, NULL));
  gate_wait(&reader.items, 1);
  /* Closing waits for the host function, which waits for room. */
  expect_ok(hostcall_close(context));
  assert_int_equal(reader.status, HOSTCALL_CLOSED);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(thousands_of_items_come_in_order_and_then_the_result),
    cmocka_unit_test(no_more_items_come_than_there_is_credit_for),
    cmocka_unit_test(who_does_not_wait_is_told_when_there_is_room),
    cmocka_unit_test(who_takes_no_items_gets_none),
    cmocka_unit_test(arguments_arrive_in_order_and_end),
    cmocka_unit_test(a_sender_that_waits_is_freed_by_the_end_of_its_call),
};
const test_group stream_tests = {"streams", tests, sizeof tests / sizeof *tests};
