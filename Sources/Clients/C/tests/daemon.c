/* With a daemon in another process, which dies and comes back. */
#include <signal.h>

#include "support.h"

static void keep_status(hostcall_context *context, uint64_t request, const hostcall_result *result, void *user_data) {
  (void)context, (void)request;
  gate *gates = user_data;
  gate_raise(&gates[result->status == HOSTCALL_CONNECTION_LOST ? 1 : 0]);
}

static void note_gap(hostcall_context *context, uint64_t subscription, const hostcall_event *event, void *user_data) {
  (void)context, (void)subscription;
  gate *gates = user_data;
  gate_raise(&gates[event->follows_gap ? 1 : 0]);
}

static void hold_call(hostcall_context *context, const hostcall_invocation *invocation, void *user_data) {
  (void)context, (void)invocation;
  gate_raise(user_data);
}

static void a_daemon_that_is_not_there_is_said_to_be_so(void **state) {
  (void)state;
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = "/nowhere/s";
  hostcall_context *context = (hostcall_context *)1;
  expect_is(hostcall_connect(&options, &context), HOSTCALL_CANNOT_CONNECT);
  assert_null(context);
  assert_non_null(strstr(hostcall_last_error(), "/nowhere/s"));
  expect_is(hostcall_open(&options, &context), HOSTCALL_CANNOT_CONNECT);
  assert_non_null(strstr(hostcall_last_error(), "/nowhere"));
}

static void calls_end_with_the_connection_and_functions_come_back(void **state) {
  (void)state;
  char *folder = make_folder();
  daemon_process daemon;
  daemon_start(&daemon, folder);
  hostcall_context *worker = connect_context(&daemon, 0), *caller = connect_context(&daemon, 0);
  gate held = GATE_INIT, released = GATE_INIT;
  gate ends[2] = {GATE_INIT, GATE_INIT}, events[2] = {GATE_INIT, GATE_INIT};
  expect_ok(hostcall_register_host_fn(worker, "hold", NULL, hold_call, &held, NULL));
  expect_ok(hostcall_register_host_fn(worker, "echo", NULL, echo, &released, raise_when_released));
  expect_ok(hostcall_subscribe(worker, "tick", note_gap, events, NULL, NULL));
  for (int number = 0; number < 5; number++) {
    expect_ok(hostcall_call(caller, "hold", NULL, NULL, 0, keep_status, ends, NULL));
  }
  gate_wait(&held, 5);
  daemon_end(&daemon, SIGKILL);
  gate_wait(&ends[1], 5);
  assert_int_equal(gate_count(&ends[0]), 0);
  daemon_start(&daemon, folder);
  hostcall_call_options options = HOSTCALL_CALL_OPTIONS_INIT;
  options.flags = HOSTCALL_WAIT;
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(caller, "echo", &options, "again", 5, &result));
  assert_memory_equal(result.data, "again", 5);
  hostcall_result_free(&result);
  uint32_t subscribers = 0;
  for (int tries = 0; tries < 60000 && subscribers == 0; tries++) {
    expect_ok(hostcall_publish(caller, "tick", NULL, NULL, 0, &subscribers));
  }
  gate_wait(&events[1], 1);
  assert_int_equal(gate_count(&released), 0);
  expect_ok(hostcall_close(worker));
  assert_int_equal(gate_count(&released), 1);
  expect_ok(hostcall_close(caller));
  daemon_end(&daemon, SIGTERM);
  remove_folder(folder);
}

static void a_context_that_is_not_to_connect_again_is_over(void **state) {
  (void)state;
  char *folder = make_folder();
  daemon_process daemon;
  daemon_start(&daemon, folder);
  hostcall_context *context = connect_context(&daemon, HOSTCALL_NO_RECONNECT);
  gate held = GATE_INIT;
  gate ends[2] = {GATE_INIT, GATE_INIT};
  expect_ok(hostcall_register_host_fn(context, "hold", NULL, hold_call, &held, NULL));
  expect_ok(hostcall_call(context, "hold", NULL, NULL, 0, keep_status, ends, NULL));
  gate_wait(&held, 1);
  daemon_end(&daemon, SIGKILL);
  gate_wait(&ends[1], 1);
  expect_is(hostcall_call_wait(context, "hold", NULL, NULL, 0, NULL), HOSTCALL_CONNECTION_LOST);
  expect_ok(hostcall_close(context));
  /* Who polls learns it. */
  daemon_start(&daemon, folder);
  context = connect_context(&daemon, HOSTCALL_NO_RECONNECT | HOSTCALL_POLLED);
  daemon_end(&daemon, SIGKILL);
  expect_is(hostcall_poll(context, -1, NULL), HOSTCALL_CONNECTION_LOST);
  expect_ok(hostcall_close(context));
  remove_folder(folder);
}

static void an_open_context_takes_connections_of_others(void **state) {
  (void)state;
  char *folder = make_folder();
  char socket[128];
  snprintf(socket, sizeof socket, "%s/s", folder);
  hostcall_context_options options = HOSTCALL_CONTEXT_OPTIONS_INIT;
  options.socket_path = socket;
  hostcall_context *bridge = NULL, *other = NULL;
  expect_ok(hostcall_open(&options, &bridge));
  expect_ok(hostcall_connect(&options, &other));
  expect_ok(hostcall_register_host_fn(other, "there", NULL, echo, NULL, NULL));
  expect_ok(hostcall_register_host_fn(bridge, "here", NULL, echo, NULL, NULL));
  hostcall_result result = HOSTCALL_RESULT_INIT;
  expect_ok(hostcall_call_wait(bridge, "there", NULL, "1", 1, &result));
  hostcall_result_free(&result);
  expect_ok(hostcall_call_wait(other, "here", NULL, "2", 1, &result));
  hostcall_result_free(&result);
  expect_ok(hostcall_close(bridge));
  expect_is(hostcall_ping(other), HOSTCALL_CONNECTION_LOST);
  expect_ok(hostcall_close(other));
  remove_folder(folder);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_daemon_that_is_not_there_is_said_to_be_so),
    cmocka_unit_test(calls_end_with_the_connection_and_functions_come_back),
    cmocka_unit_test(a_context_that_is_not_to_connect_again_is_over),
    cmocka_unit_test(an_open_context_takes_connections_of_others),
};
const test_group daemon_tests = {"daemon", tests, sizeof tests / sizeof *tests};
