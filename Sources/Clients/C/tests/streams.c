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

/* Two threads that wait to send on one call. */
typedef struct sending {
  hostcall_context *context;
  uint64_t call_id;
  hostcall_status status;
} sending;

static void *send_and_wait(void *argument) {
  sending *sending = argument;
  sending->status =
      hostcall_send_item_wait(sending->context, sending->call_id, "x", 1, HOSTCALL_JSON, UINT32_MAX);
  return NULL;
}

static void threads_that_wait_to_send_share_what_room_there_is(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  pusher pusher = {.came = GATE_INIT, .room = GATE_INIT};
  expect_ok(hostcall_register_host_fn(context, "push", NULL, keep_call, &pusher, NULL));
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  hostcall_call_options options = reading(1);
  uint64_t request = 0;
  expect_ok(hostcall_call(context, "push", &options, NULL, 0, end_reading, &reader, &request));
  gate_wait(&pusher.came, 1);
  expect_ok(hostcall_send_item(context, pusher.call_id, "0", 1, HOSTCALL_JSON));
  sending sendings[3];
  pthread_t threads[3];
  for (int index = 0; index < 3; index++) {
    sendings[index] = (sending){context, pusher.call_id, -1};
    assert_int_equal(pthread_create(&threads[index], NULL, send_and_wait, &sendings[index]), 0);
  }
  gate_wait(&reader.items, 1);
  expect_ok(hostcall_add_credit(context, request, 1));
  gate_wait(&reader.items, 2);
  expect_ok(hostcall_add_credit(context, request, 1));
  gate_wait(&reader.items, 3);
  /* The third is told that it is too late. */
  expect_ok(hostcall_cancel(context, request));
  int sent = 0, late = 0;
  for (int index = 0; index < 3; index++) {
    pthread_join(threads[index], NULL);
    sent += sendings[index].status == HOSTCALL_OK;
    late += sendings[index].status == HOSTCALL_LATE;
  }
  assert_int_equal(sent, 2);
  assert_int_equal(late, 1);
  expect_ok(hostcall_close(context));
}

static void an_item_after_the_end_is_late_however_the_call_has_ended(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  pusher pusher = {.came = GATE_INIT, .room = GATE_INIT};
  hostcall_function_options function = HOSTCALL_FUNCTION_OPTIONS_INIT;
  function.on_item = add_argument;
  expect_ok(hostcall_register_host_fn(context, "push", &function, keep_call, &pusher, NULL));
  const hostcall_status ends[] = {HOSTCALL_OK, HOSTCALL_FAILED, HOSTCALL_CANCELLED, 200};
  for (int number = 0; number < 4; number++) {
    reader reader = {.items = GATE_INIT, .over = GATE_INIT};
    hostcall_call_options options = reading(1);
    options.flags = HOSTCALL_ARGUMENTS;
    uint64_t request = 0;
    expect_ok(hostcall_call(context, "push", &options, NULL, 0, end_reading, &reader, &request));
    gate_wait(&pusher.came, number + 1);
    /* A turn that was given before the end is none after it. */
    expect_is(hostcall_send_item(context, request, "1", 1, HOSTCALL_RAW), HOSTCALL_OVERLOADED);
    expect_ok(hostcall_add_credit(context, pusher.call_id, 1));
    expect_ok(hostcall_ping(context));
    expect_ok(hostcall_host_complete(context, pusher.call_id, ends[number], NULL, 0));
    gate_wait(&reader.over, 1);
    assert_int_equal(reader.status, ends[number]);
    expect_is(hostcall_send_item(context, request, "1", 1, HOSTCALL_RAW), HOSTCALL_LATE);
    expect_is(hostcall_send_item_wait(context, request, "1", 1, HOSTCALL_RAW, UINT32_MAX), HOSTCALL_LATE);
    expect_is(hostcall_end_items(context, request), HOSTCALL_LATE);
  }
  expect_ok(hostcall_close(context));
}

/* Notes what is told before its host function has begun. */
typedef struct order {
  gate begun;
  gate over;
  int early;
} order;

static void begin_in_order(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  order *order = user_data;
  gate_raise(&order->begun);
  hostcall_add_credit(context, invocation->call_id, 1);
}

static void end_in_order(hostcall_context *context, uint64_t call_id, const hostcall_item *item, void *user_data) {
  order *order = user_data;
  if (item != NULL) return;
  if (gate_count(&order->begun) <= gate_count(&order->over)) order->early++;
  gate_raise(&order->over);
  hostcall_host_complete(context, call_id, HOSTCALL_OK, NULL, 0);
}

static void nothing_is_told_about_a_call_before_its_host_function_begins(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  order order = {.begun = GATE_INIT, .over = GATE_INIT};
  hostcall_function_options function = HOSTCALL_FUNCTION_OPTIONS_INIT;
  function.on_item = end_in_order;
  function.concurrency = 1;
  expect_ok(hostcall_register_host_fn(context, "order", &function, begin_in_order, &order, NULL));
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.flags = HOSTCALL_ARGUMENTS;
  reader reader = {.items = GATE_INIT, .over = GATE_INIT};
  for (int number = 1; number <= 500; number++) {
    uint64_t request = 0;
    expect_ok(hostcall_call(context, "order", &options, NULL, 0, end_reading, &reader, &request));
    expect_ok(hostcall_end_items(context, request));
    gate_wait(&reader.over, number);
  }
  assert_int_equal(order.early, 0);
  expect_ok(hostcall_close(context));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(thousands_of_items_come_in_order_and_then_the_result),
    cmocka_unit_test(no_more_items_come_than_there_is_credit_for),
    cmocka_unit_test(who_does_not_wait_is_told_when_there_is_room),
    cmocka_unit_test(who_takes_no_items_gets_none),
    cmocka_unit_test(arguments_arrive_in_order_and_end),
    cmocka_unit_test(threads_that_wait_to_send_share_what_room_there_is),
    cmocka_unit_test(an_item_after_the_end_is_late_however_the_call_has_ended),
    cmocka_unit_test(nothing_is_told_about_a_call_before_its_host_function_begins),
    cmocka_unit_test(a_sender_that_waits_is_freed_by_the_end_of_its_call),
};
const test_group stream_tests = {"streams", tests, sizeof tests / sizeof *tests};
