import Glibc
import TOMLKit

/// A parsed configuration file that knows on which line each key stands.
struct SettingsFile {
  private let table: TOMLTable
  private let lines: [String: Int]
  private let path: String

  init(text: String, path: String) throws(SettingsError) {
    self.path = path
    try SettingsText.check(text, path: path)
    lines = Self.lines(in: text)
    do {
      table = try TOMLTable(string: text)
    } catch let error as TOMLParseError {
      throw SettingsError("\(path):\(error.source.begin.line): this is not TOML: \(error.description)")
    } catch {
      throw SettingsError("\(path): this is not TOML: \(error)")
    }
  }

  /// Gives the memory of all values back, which TOMLKit does not do by itself. None of them may be used afterwards.
  func close() {
    table.clear()
  }

  /// The text of a file.
  static func text(of path: String) throws(SettingsError) -> String {
    guard let file = fopen(path, "r") else { throw cannotRead(path, errno) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&piece, 1, piece.count, file)
      if count == 0 { break }
      bytes.append(contentsOf: piece[..<count])
      guard bytes.count <= 1_048_576 else {
        throw SettingsError("cannot read the configuration \(path): it is larger than 1 MiB")
      }
    }
    if ferror(file) != 0 { throw cannotRead(path, errno) }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw SettingsError("cannot read the configuration \(path): it is not UTF-8")
    }
    return text
  }

  /// Keys that are lists of tables.
  private static let lists = ["policy", Settings.userLimitsKey, Settings.workersKey]

  /// The tables under `[[key]]`, in order. The n-th one's keys are `key[n].…`, from 0.
  func tables(_ key: String, _ wanted: String) throws(SettingsError) -> [TOMLTable] {
    guard let value = table[key] else { return [] }
    guard let array = value.array else { throw wrong(key, "a list of \(wanted)") }
    var tables: [TOMLTable] = []
    for element in array {
      guard let table = element.table else { throw wrong(key, "a list of \(wanted)") }
      tables.append(table)
    }
    return tables
  }

  /// Gives each value with its full key, such as `limits.connections`, in order of line.
  func forEach(
    _ use: (_ key: String, _ value: any TOMLValueConvertible) throws(SettingsError) -> Void
  ) throws(SettingsError) {
    var found: [(key: String, value: any TOMLValueConvertible)] = []
    for key in table.keys where !Self.lists.contains(key) {
      guard let value = table[key] else { continue }
      guard let section = value.table else {
        found.append((key, value))
        continue
      }
      if section.isEmpty { found.append((key, value)) }
      for inner in section.keys {
        if let value = section[inner] { found.append(("\(key).\(inner)", value)) }
      }
    }
    let known = ["server", "log", "limits"]
    found.removeAll { known.contains($0.key) && $0.value.table != nil }
    for (key, value) in found.sorted(by: { (lines[$0.key] ?? 0, $0.key) < (lines[$1.key] ?? 0, $1.key) }) {
      try use(key, value)
    }
  }

  /// A whole number in a range.
  func number(
    _ key: String, _ value: any TOMLValueConvertible, _ range: ClosedRange<Int>
  ) throws(SettingsError) -> Int {
    guard value.type == .int, let number = value.int, range.contains(number) else {
      throw wrong(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A value that cannot be.
  func wrong(_ key: String, _ wanted: String) -> SettingsError {
    SettingsError("\(place(key)): \(Self.shown(key)) must be \(wanted)")
  }

  /// A value that makes no sense, by a sentence; on the line of the key or, if it is not there, of the other one.
  func refused(_ key: String, or other: String = "", _ reason: String) -> SettingsError {
    SettingsError("\(place(lines[key] == nil ? other : key)): \(reason)")
  }

  /// A key that means nothing.
  func unknown(_ key: String, known: [String]) -> SettingsError {
    let similar = known.filter {
      $0.hasSuffix(".\(key)") || $0.split(separator: ".").last == key.split(separator: ".").last
    }
    let advice = similar.first.map { "did you mean \($0)?" } ?? "hostcalld --check-config lists all keys"
    return unknown(key, advice: advice)
  }

  func unknown(_ key: String, advice: String) -> SettingsError {
    SettingsError("\(place(key)): unknown key \(Self.shown(key)) (\(advice))")
  }

  /// A text as it stands in a file.
  static func quoted(_ text: String) -> String {
    var quoted = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      default: quoted += SettingsError.printable(scalar)
      }
    }
    return "\"\(quoted)\""
  }

  /// A key for people, without the place in a list.
  private static func shown(_ key: String) -> String {
    guard let start = key.firstIndex(of: "["), let end = key.firstIndex(of: "]") else { return key }
    return String(key[..<start] + key[key.index(after: end)...])
  }

  private func place(_ key: String) -> String {
    let list = key.prefix { $0 != "[" }
    return (lines[key] ?? lines[String(list)]).map { "\(path):\($0)" } ?? path
  }

  /// On which line each full key stands. TOML's parser does not say, so the lines are read once more.
  private static func lines(in text: String) -> [String: Int] {
    var lines: [String: Int] = [:]
    var section = ""
    var counts: [String: Int] = [:]
    // By scalars: to Swift, a line's end as Windows writes it is a character of its own.
    let split = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in split.enumerated() {
      let line = Substring(line).drop { $0.isWhitespace }
      if line.hasPrefix("["), let end = line.firstIndex(of: "]") {
        section = name(line[line.index(after: line.startIndex)..<end])
        if line.hasPrefix("[[") {
          let number = counts[section, default: 0]
          counts[section] = number + 1
          lines[section] = lines[section] ?? index + 1
          section += "[\(number)]"
        }
        lines[section] = index + 1
      } else if !line.hasPrefix("#"), let equals = line.firstIndex(of: "=") {
        let key = name(line[..<equals])
        lines[section.isEmpty ? key : "\(section).\(key)"] = index + 1
      }
    }
    return lines
  }

  private static func name(_ text: Substring) -> String {
    String(text.filter { !$0.isWhitespace && $0 != "\"" && $0 != "'" && $0 != "[" })
  }

  private static func cannotRead(_ path: String, _ code: Int32) -> SettingsError {
    SettingsError("cannot read the configuration \(path): \(String(cString: strerror(code)).lowercased())")
  }
}
