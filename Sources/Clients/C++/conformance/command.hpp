// What the driver says and is told, as lines (Tests/Conformance/Agents.md).
#ifndef HOSTCALL_CONFORMANCE_COMMAND_HPP
#define HOSTCALL_CONFORMANCE_COMMAND_HPP

#include <hostcall.hpp>

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

/// A command that cannot be understood.
class Misunderstanding : public std::runtime_error {
 public:
  using runtime_error::runtime_error;
};

/// One line of the driver: a tag, a word that says what, and values by key.
class Command {
 public:
  explicit Command(const std::string& line);

  const std::string& tag() const { return tag_; }
  const std::string& word() const { return word_; }

  std::optional<std::string> text(const char* key) const;
  std::string needed(const char* key) const;
  bool says(const char* key) const { return text(key) == "yes"; }
  std::optional<std::uint32_t> number(const char* key) const;
  std::uint32_t needed_number(const char* key) const;
  std::optional<std::chrono::milliseconds> milliseconds(const char* key) const;
  std::string payload(const char* key = "payload") const;
  hostcall::Encoding encoding() const { return hostcall::Encoding{number("encoding").value_or(0)}; }
  hostcall::Metadata metadata() const;
  hostcall::Status status() const;

 private:
  std::string tag_;
  std::string word_;
  std::map<std::string, std::string> values_;
};

/// One line for the driver. What is nothing is left out.
class Report {
 public:
  Report(const std::string& tag, const char* word) : line_(tag + " " + word) {}

  static Report done(const std::string& tag) { return Report(tag, "done"); }
  static Report result(const std::string& tag, const hostcall::Reply& reply);
  static Report error(const std::string& tag, const hostcall::Error& error);
  static Report item(const std::string& tag, const hostcall::Item& item);
  static Report event(const std::string& tag, const hostcall::Event& event);

  Report& with(const char* key, std::string_view text);
  Report& with(const char* key, std::uint64_t number) { return with(key, std::to_string(number)); }
  Report& with_bytes(const char* key, std::string_view bytes);
  Report& with(hostcall::Encoding encoding) { return with("encoding", static_cast<std::uint32_t>(encoding)); }
  Report& with(const hostcall::Metadata& metadata);

  /// Writes the line to standard output, whole.
  void print() const;

 private:
  std::string line_;
};

#endif
