/* Runs all tests, or the groups whose names are given. */
#include "support.h"

int main(int count, char **arguments) {
  const test_group *groups[] = {&misuse_tests, &memory_tests, &call_tests,   &function_tests,
                                &stream_tests, &event_tests,  &polled_tests, &daemon_tests};
  int failed = 0;
  for (size_t index = 0; index < sizeof groups / sizeof *groups; index++) {
    bool is_wanted = count < 2;
    for (int place = 1; place < count; place++) is_wanted |= strcmp(arguments[place], groups[index]->name) == 0;
    if (is_wanted) {
      failed += _cmocka_run_group_tests(groups[index]->name, groups[index]->tests, groups[index]->count, NULL, NULL);
    }
  }
  return failed == 0 ? 0 : 1;
}
