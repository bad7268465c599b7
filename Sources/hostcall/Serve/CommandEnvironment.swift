import HostcallClient

/// What a served command finds in its environment, beside what `hostcall serve` has itself.
enum CommandEnvironment {
  /// Before the names of metadata.
  static let metadataPrefix = "HOSTCALL_META_"

  /// The variables of one call. Those of a call that `hostcall serve` itself may be part of are taken away: nil.
  static func variables(
    for request: HostcallRequest, socketPath: String, inheritedNames: some Sequence<String>
  ) -> [String: String?] {
    var variables: [String: String?] = [:]
    for name in inheritedNames where name.hasPrefix(metadataPrefix) { variables.updateValue(nil, forKey: name) }
    for entry in request.metadata.entries { variables[name(forMetadata: entry.key)] = entry.value }
    variables["HOSTCALL_FUNCTION"] = request.function
    variables["HOSTCALL_CALL_ID"] = "\(request.correlationID)"
    variables["HOSTCALL_TIMEOUT_MS"] = "\(Int64(max(1, request.timeLeft / .milliseconds(1))))"
    variables["HOSTCALL_ENCODING"] = "\(request.encoding)"
    variables["HOSTCALL_SOCKET"] = socketPath
    return variables
  }

  /// `trace-id` is `HOSTCALL_META_TRACE_ID`. Keys have no `_`, so no two become one.
  static func name(forMetadata key: String) -> String {
    metadataPrefix + key.uppercased().replacing("-", with: "_")
  }
}
