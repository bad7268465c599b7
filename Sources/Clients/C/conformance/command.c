/* Lines of the driver, and lines to it. */
#include "agent.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void misunderstood(const char *what, const char *line) {
  fprintf(stderr, "agent: %s: %.200s\n", what, line);
  exit(64);
}

command *command_read(const char *line) {
  command *command = calloc(1, sizeof *command);
  if (command == NULL || (command->line = strdup(line)) == NULL) abort();
  command->line[strcspn(command->line, "\n")] = 0;
  char *rest = command->line;
  command->tag = strsep(&rest, " ");
  command->word = strsep(&rest, " ");
  if (command->word == NULL) misunderstood("a line without a word", line);
  while (rest != NULL) {
    char *value = strsep(&rest, " ");
    if (command->count == sizeof command->values / sizeof *command->values) misunderstood("too many values", line);
    command->values[command->count].key = strsep(&value, "=");
    if (value == NULL) misunderstood("a word without =", line);
    command->values[command->count++].value = value;
  }
  return command;
}

void command_free(command *command) {
  free(command->line);
  free(command);
}

const char *command_text(const command *command, const char *key) {
  for (size_t index = 0; index < command->count; index++) {
    if (strcmp(command->values[index].key, key) == 0) return command->values[index].value;
  }
  return NULL;
}

uint32_t command_number(const command *command, const char *key) {
  const char *text = command_text(command, key);
  return text == NULL ? 0 : (uint32_t)strtoul(text, NULL, 10);
}

bool command_says(const command *command, const char *key) {
  const char *text = command_text(command, key);
  return text != NULL && strcmp(text, "yes") == 0;
}

static int digit(char letter) {
  return letter <= '9' ? letter - '0' : (letter | 32) - 'a' + 10;
}

/* Bytes of hexadecimal text, with a 0 behind them. */
static uint8_t *bytes_of(const char *text, size_t *size) {
  *size = text == NULL ? 0 : strlen(text) / 2;
  uint8_t *data = malloc(*size + 1);
  if (data == NULL) abort();
  for (size_t index = 0; index < *size; index++) {
    data[index] = (uint8_t)(digit(text[2 * index]) << 4 | digit(text[2 * index + 1]));
  }
  data[*size] = 0;
  return data;
}

content *content_read(const command *command) {
  content *content = calloc(1, sizeof *content);
  if (content == NULL) abort();
  content->data = bytes_of(command_text(command, "payload"), &content->size);
  content->encoding = command_number(command, "encoding");
  const char *text = command_text(command, "metadata");
  char *copy = text == NULL ? NULL : strdup(text), *rest = copy;
  while (rest != NULL) {
    char *value = strsep(&rest, ",");
    const char *key = strsep(&value, ":");
    size_t size;
    if (content->metadata_count == MOST_METADATA) misunderstood("too many metadata", text);
    content->metadata[content->metadata_count].key = strdup(key);
    content->metadata[content->metadata_count++].value = (char *)bytes_of(value, &size);
  }
  free(copy);
  return content;
}

void content_free(content *content) {
  for (size_t index = 0; index < content->metadata_count; index++) {
    free((char *)content->metadata[index].key);
    free((char *)content->metadata[index].value);
  }
  free(content->data);
  free(content);
}

report *report_begin(const char *tag, const char *word) {
  report *report = calloc(1, sizeof *report);
  if (report == NULL || (report->stream = open_memstream(&report->text, &report->size)) == NULL) abort();
  fprintf(report->stream, "%s %s", tag, word);
  return report;
}

void report_text(report *report, const char *format, ...) {
  va_list values;
  va_start(values, format);
  vfprintf(report->stream, format, values);
  va_end(values);
}

static void write_bytes(FILE *stream, const void *data, size_t size) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *bytes = data;
  for (size_t index = 0; index < size; index++) {
    putc(digits[bytes[index] >> 4], stream);
    putc(digits[bytes[index] & 15], stream);
  }
}

void report_bytes(report *report, const char *key, const void *data, size_t size) {
  fprintf(report->stream, " %s=", key);
  write_bytes(report->stream, data, size);
}

void report_metadata(report *report, const hostcall_metadata *metadata, size_t count) {
  for (size_t index = 0; index < count; index++) {
    fprintf(report->stream, "%s%s:", index == 0 ? " metadata=" : ",", metadata[index].key);
    write_bytes(report->stream, metadata[index].value, strlen(metadata[index].value));
  }
}

void report_end(report *report) {
  putc('\n', report->stream);
  fclose(report->stream);
  flockfile(stdout);
  fwrite(report->text, 1, report->size, stdout);
  fflush(stdout);
  funlockfile(stdout);
  free(report->text);
  free(report);
}

void report_word(const char *tag, const char *word) {
  report *report = report_begin(tag, word);
  report_end(report);
}

static void report_error(report *report, hostcall_status status, int32_t origin, const char *message) {
  static const char *origins[] = {"daemon", "worker", "client"};
  const char *code = "status";
  switch (status) {
    case HOSTCALL_CANNOT_CONNECT: code = "cannot-connect"; break;
    case HOSTCALL_CONNECTION_LOST: code = "connection-lost"; break;
    case HOSTCALL_CLOSED: code = "closed"; break;
    case HOSTCALL_INVALID_ARGUMENT:
    case HOSTCALL_INVALID_UTF8:
    case HOSTCALL_NULL_POINTER:
      if (origin == HOSTCALL_FROM_LIBRARY) code = "invalid-argument";
      break;
    default: break;
  }
  if (strcmp(code, "status") == 0) {
    if (status >= 128) {
      report_text(report, " status=%d", status);
    } else {
      report_text(report, " status=%s", hostcall_status_name(status));
    }
  }
  report_text(report, " origin=%s code=%s", origins[origin], code);
  report_bytes(report, "message", message, strlen(message));
}

report *report_of(const char *tag, const hostcall_result *result) {
  report *report = report_begin(tag, result->status == HOSTCALL_OK ? "result" : "error");
  if (result->status != HOSTCALL_OK) report_error(report, result->status, result->origin, result->message);
  report_bytes(report, "payload", result->data, result->size);
  report_text(report, " encoding=%u", result->encoding);
  report_metadata(report, result->metadata, result->metadata_count);
  if (result->correlation_id != 0) report_text(report, " correlation=%llu", (unsigned long long)result->correlation_id);
  return report;
}

void report_status(const char *tag, hostcall_status status) {
  if (status == HOSTCALL_OK) {
    report_word(tag, "done");
    return;
  }
  report *report = report_begin(tag, "error");
  /* The daemon's sentences name it; what the library finds by itself does not. */
  bool is_daemons = strstr(hostcall_last_error(), " from the daemon") != NULL;
  report_error(report, status, is_daemons ? HOSTCALL_FROM_DAEMON : HOSTCALL_FROM_LIBRARY, hostcall_last_error());
  report_end(report);
}
