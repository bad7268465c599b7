/* Events: to everybody who has subscribed, in order, and no slow one holds others up. */
#include "support.h"

typedef struct watcher {
  gate came;
  gate released;
  gate *held;
  uint64_t dropped;
  int wrong;
  char name[32];
  char metadata[32];
} watcher;

static void watch(hostcall_context *context, uint64_t subscription, const hostcall_event *event, void *user_data) {
  (void)context, (void)subscription;
  watcher *watcher = user_data;
  snprintf(watcher->name, sizeof watcher->name, "%s", event->name);
  if (event->metadata_count > 0) snprintf(watcher->metadata, sizeof watcher->metadata, "%s", event->metadata[0].value);
  watcher->dropped += event->dropped_before;
  int number = 0;
  if (event->size == sizeof number) memcpy(&number, event->data, sizeof number);
  if (number != gate_count(&watcher->came) + (int)watcher->dropped) watcher->wrong++;
  gate_raise(&watcher->came);
  if (watcher->held != NULL) gate_wait_inside(watcher->held, 1);
}

static void release_watcher(void *user_data) { gate_raise(&((watcher *)user_data)->released); }

static void publish_numbers(hostcall_context *context, int from, int to) {
  for (int number = from; number < to; number++) {
    expect_ok(hostcall_publish(context, "door.opened", NULL, &number, sizeof number, NULL));
  }
}

static void every_subscriber_gets_each_event_in_order(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  watcher watchers[3];
  uint64_t numbers[3];
  const char *patterns[] = {"door.*", "door.opened", "*"};
  for (int index = 0; index < 3; index++) {
    watchers[index] = (watcher){.came = GATE_INIT, .released = GATE_INIT};
    expect_ok(hostcall_subscribe(context, patterns[index], watch, &watchers[index], release_watcher, &numbers[index]));
  }
  publish_numbers(context, 0, 500);
  for (int index = 0; index < 3; index++) {
    gate_wait(&watchers[index].came, 500);
    assert_int_equal(watchers[index].wrong, 0);
    assert_string_equal(watchers[index].name, "door.opened");
  }
  /* Who has unsubscribed is released and hears no more. */
  expect_ok(hostcall_unsubscribe(context, numbers[0]));
  gate_wait(&watchers[0].released, 1);
  expect_is(hostcall_unsubscribe(context, numbers[0]), HOSTCALL_NOT_FOUND);
  publish_numbers(context, 500, 510);
  gate_wait(&watchers[1].came, 510);
  assert_int_equal(gate_count(&watchers[0].came), 500);
  expect_ok(hostcall_close(context));
  assert_int_equal(gate_count(&watchers[0].released) + gate_count(&watchers[1].released), 2);
  assert_int_equal(gate_count(&watchers[2].released), 1);
}

static void a_publisher_learns_how_many_there_were(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  watcher watcher = {.came = GATE_INIT, .released = GATE_INIT};
  uint32_t subscribers = 77;
  expect_ok(hostcall_publish(context, "door.opened", NULL, NULL, 0, &subscribers));
  assert_int_equal(subscribers, 0);
  expect_ok(hostcall_subscribe(context, "door.*", watch, &watcher, NULL, NULL));
  hostcall_publish_options options = HOSTCALL_PUBLISH_OPTIONS_INIT;
  const hostcall_metadata entry = {"side", "left"};
  options.metadata = &entry;
  options.metadata_count = 1;
  expect_ok(hostcall_publish(context, "door.opened", &options, NULL, 0, &subscribers));
  assert_int_equal(subscribers, 1);
  gate_wait(&watcher.came, 1);
  assert_string_equal(watcher.metadata, "left");
  expect_ok(hostcall_close(context));
}

static void a_slow_subscriber_loses_the_oldest_and_is_told_how_many(void **state) {
  (void)state;
  hostcall_context *context = open_context(0);
  gate hold = GATE_INIT;
  watcher slow = {.came = GATE_INIT, .released = GATE_INIT, .held = &hold};
  watcher quick = {.came = GATE_INIT, .released = GATE_INIT};
  expect_ok(hostcall_subscribe(context, "door.*", watch, &slow, NULL, NULL));
  publish_numbers(context, 0, 1);
  gate_wait(&slow.came, 1);
  publish_numbers(context, 1, 2000);
  expect_ok(hostcall_subscribe(context, "other", watch, &quick, NULL, NULL));
  int number = 0;
  expect_ok(hostcall_publish(context, "other", NULL, &number, sizeof number, NULL));
  gate_wait(&quick.came, 1);
  assert_int_equal(gate_count(&slow.came), 1);
  gate_raise(&hold);
  /* 1,024 wait, beside the one that it was busy with. */
  gate_wait(&slow.came, 1025);
  assert_int_equal(slow.dropped, 2000 - 1025);
  assert_int_equal(slow.wrong, 0);
  expect_ok(hostcall_close(context));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_subscriber_gets_each_event_in_order),
    cmocka_unit_test(a_publisher_learns_how_many_there_were),
    cmocka_unit_test(a_slow_subscriber_loses_the_oldest_and_is_told_how_many),
};
const test_group event_tests = {"events", tests, sizeof tests / sizeof *tests};
