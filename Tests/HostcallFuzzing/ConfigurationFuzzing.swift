import HostcallConfiguration

/// Any bytes as a configuration: they are refused in one line that begins with the name of the file, or what is printed
/// of them is a configuration that says the same.
enum ConfigurationFuzzing {
  private static let path = "fuzz.toml"

  static func play(_ input: UnsafeRawBufferPointer) throws(FuzzingFailure) {
    guard let text = String(validating: input, as: UTF8.self) else { return }
    var settings: Settings
    do throws(SettingsError) {
      settings = try Settings(text: text, path: path)
    } catch {
      return try check(error, of: text)
    }
    let socketPath = settings.socketPath ?? "/run/hostcall.sock"
    settings.socketPath = socketPath
    let printed = settings.description(socketPath: socketPath)
    let again: Settings
    do throws(SettingsError) {
      again = try Settings(text: printed, path: path)
    } catch {
      throw FuzzingFailure("what it prints is refused, \(error):\n\(printed)")
    }
    guard again == settings else { throw FuzzingFailure("what it prints says something else:\n\(printed)") }
  }

  /// `fuzz.toml: …` or `fuzz.toml:LINE: …`, where there is such a line.
  private static func check(_ error: SettingsError, of text: String) throws(FuzzingFailure) {
    guard error.description.hasPrefix("\(path):") else {
      throw FuzzingFailure("the error does not begin with the path: \(error)")
    }
    var reason = error.description.dropFirst(path.count + 1)
    let number = reason.prefix { $0.isNumber }
    if !number.isEmpty {
      let lineCount = text.utf8.count { $0 == UInt8(ascii: "\n") } + 1
      guard let line = Int(number), (1...lineCount).contains(line) else {
        throw FuzzingFailure("the error is on a line that is not there, of \(lineCount): \(error)")
      }
      reason = reason.dropFirst(number.count + 1)
    }
    guard reason.hasPrefix(" "), reason.count > 1 else { throw FuzzingFailure("the error gives no reason: \(error)") }
    guard !reason.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }),
      !reason.contains(where: \.isNewline)
    else { throw FuzzingFailure("the error is not one line of text: \(error)") }
  }
}
