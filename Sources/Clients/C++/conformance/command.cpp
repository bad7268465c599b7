#include "command.hpp"

#include <charconv>
#include <cstdio>
#include <sstream>

namespace {

int digit(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  throw Misunderstanding(std::string(1, character) + " is no hexadecimal digit");
}

std::string from_hexadecimal(std::string_view text) {
  if (text.size() % 2 != 0) throw Misunderstanding("half a byte");
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t place = 0; place < text.size(); place += 2) {
    bytes.push_back(static_cast<char>(digit(text[place]) * 16 + digit(text[place + 1])));
  }
  return bytes;
}

void append_hexadecimal(std::string_view bytes, std::string& line) {
  constexpr char digits[] = "0123456789abcdef";
  for (const char byte : bytes) {
    line.push_back(digits[static_cast<unsigned char>(byte) >> 4]);
    line.push_back(digits[static_cast<unsigned char>(byte) & 15]);
  }
}

}  // namespace

Command::Command(const std::string& line) {
  std::istringstream words(line);
  if (!(words >> tag_ >> word_)) throw Misunderstanding("no tag and word: " + line);
  for (std::string word; words >> word;) {
    const auto sign = word.find('=');
    if (sign == std::string::npos) throw Misunderstanding("no key=value: " + word);
    values_[word.substr(0, sign)] = word.substr(sign + 1);
  }
}

std::optional<std::string> Command::text(const char* key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

std::string Command::needed(const char* key) const {
  const auto value = text(key);
  if (!value) throw Misunderstanding(word_ + " without " + key + "=");
  return *value;
}

std::optional<std::uint32_t> Command::number(const char* key) const {
  const auto value = text(key);
  if (!value) return std::nullopt;
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size()) throw Misunderstanding(*value + " is no number");
  return number;
}

std::uint32_t Command::needed_number(const char* key) const {
  const auto value = number(key);
  if (!value) throw Misunderstanding(word_ + " without " + key + "=");
  return *value;
}

std::optional<std::chrono::milliseconds> Command::milliseconds(const char* key) const {
  const auto value = number(key);
  return value ? std::optional(std::chrono::milliseconds(*value)) : std::nullopt;
}

std::string Command::payload(const char* key) const { return from_hexadecimal(text(key).value_or("")); }

hostcall::Metadata Command::metadata() const {
  hostcall::Metadata metadata;
  std::istringstream entries(text("metadata").value_or(""));
  for (std::string entry; std::getline(entries, entry, ',');) {
    const auto sign = entry.find(':');
    if (sign == std::string::npos) throw Misunderstanding("no key:value: " + entry);
    metadata[entry.substr(0, sign)] = from_hexadecimal(std::string_view(entry).substr(sign + 1));
  }
  return metadata;
}

hostcall::Status Command::status() const {
  const std::string name = text("status").value_or("OK");
  for (int value = 0; value < 128; ++value) {
    if (name != "UNKNOWN" && name == hostcall_status_name(value)) return hostcall::Status{value};
  }
  // Numbers without a name are called so, too.
  if (name == "UNKNOWN") return hostcall::Status::unknown;
  return hostcall::Status{static_cast<std::int32_t>(needed_number("status"))};
}

Report Report::result(const std::string& tag, const hostcall::Reply& reply) {
  Report report(tag, "result");
  report.with_bytes("payload", reply.data()).with(reply.encoding()).with(reply.metadata());
  if (reply.correlation_id() != 0) report.with("correlation", reply.correlation_id());
  return report;
}

Report Report::error(const std::string& tag, const hostcall::Error& error) {
  // Only errors of calls say whose they are; the text says it of all.
  hostcall::Origin origin = error.origin();
  if (std::string_view(error.what()).find(" from the daemon") != std::string_view::npos) {
    origin = hostcall::Origin::daemon;
  }
  Report report(tag, "error");
  switch (error.status()) {
    case hostcall::Status::cannot_connect: report.with("code", "cannot-connect"); break;
    case hostcall::Status::connection_lost: report.with("code", "connection-lost"); break;
    case hostcall::Status::closed: report.with("code", "closed"); break;
    case hostcall::Status::invalid_argument:
    case hostcall::Status::invalid_utf8:
      if (origin == hostcall::Origin::library) {
        report.with("code", "invalid-argument");
        break;
      }
      [[fallthrough]];
    default:
      report.with("code", "status");
      if (const auto number = static_cast<std::int32_t>(error.status()); number >= 128) {
        report.with("status", static_cast<std::uint64_t>(number));
      } else {
        report.with("status", hostcall::to_string(error.status()));
      }
  }
  constexpr const char* origins[] = {"daemon", "worker", "client"};
  report.with("origin", origins[static_cast<int>(origin)]);
  report.with_bytes("payload", error.payload()).with(error.encoding()).with(error.metadata());
  if (error.correlation_id() != 0) report.with("correlation", error.correlation_id());
  return report.with_bytes("message", error.what());
}

Report Report::item(const std::string& tag, const hostcall::Item& item) {
  return Report(tag, "item").with_bytes("payload", item.data).with(item.encoding);
}

Report Report::event(const std::string& tag, const hostcall::Event& event) {
  Report report(tag, "event");
  report.with("name", event.name).with_bytes("payload", event.data).with(event.encoding).with(event.metadata);
  report.with("dropped", event.dropped_before);
  if (event.follows_gap) report.with("gap", "yes");
  return report;
}

Report& Report::with(const char* key, std::string_view text) {
  line_.append(" ").append(key).append("=").append(text);
  return *this;
}

Report& Report::with_bytes(const char* key, std::string_view bytes) {
  if (bytes.empty()) return *this;
  line_.append(" ").append(key).append("=");
  append_hexadecimal(bytes, line_);
  return *this;
}

Report& Report::with(const hostcall::Metadata& metadata) {
  const char* before = " metadata=";
  for (const auto& [key, value] : metadata) {
    line_.append(before).append(key).append(":");
    append_hexadecimal(value, line_);
    before = ",";
  }
  return *this;
}

void Report::print() const {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  std::fwrite(line_.data(), 1, line_.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}
