import Foundation
import HostcallClient

/// What goes to standard output: whole lines, at once.
enum Report {
  static let isTerminal = isatty(STDOUT_FILENO) == 1

  static func line(_ text: String) {
    write(text + "\n")
  }

  /// A step of a scenario.
  static func step(_ text: String) {
    line("    \(text)")
  }

  static func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
  }

  /// Whatever it is, in a length that can be read.
  static func short<Value>(_ value: Value) -> String {
    let text = "\(value)"
    return text.count <= 120 ? text : "\(text.prefix(100))… (\(text.count) characters)"
  }

  static func time(_ duration: Duration) -> String {
    duration < .seconds(1)
      ? String(format: "%.1f ms", duration / .milliseconds(1)) : String(format: "%.2f s", duration / .seconds(1))
  }

  static func callNumber(_ id: UInt64?) -> String {
    id.map { "call \($0)" } ?? "no call"
  }
}

extension Stage {
  /// Calls a function that should answer, and reports it.
  func call(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    timeout: Duration = .seconds(30), options: CallOptions = [], metadata: Metadata = [:]
  ) async throws -> HostcallResponse {
    let began = ContinuousClock.now
    let response = try await client.call(
      function, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata)
    let result = response.payload.count <= 60 ? "\"\(response.text)\"" : "\(response.payload.count) bytes"
    Report.step(
      "\(function) → \(result) (\(Report.callNumber(response.correlationID)), \(Report.time(.now - began)))")
    return response
  }

  /// Calls a function that should end with this status, and reports the error.
  func failingCall(
    _ function: String, _ payload: some HostcallPayload = [UInt8](), encoding: PayloadEncoding? = nil,
    expecting status: Status, from origin: HostcallError.Origin, timeout: Duration = .seconds(30),
    metadata: Metadata = [:]
  ) async throws -> HostcallError {
    let began = ContinuousClock.now
    do {
      let response = try await client.call(
        function, payload, encoding: encoding, timeout: timeout, metadata: metadata)
      throw Mismatch(function, expected: "\(status)", came: "the result \(Report.short(response.text))")
    } catch let error as HostcallError {
      Report.step("\(error), after \(Report.time(.now - began))")
      try expect(function, error.status ?? .ok, is: status)
      try expect("who chose \(status)", error.origin, is: origin)
      return error
    }
  }
}
