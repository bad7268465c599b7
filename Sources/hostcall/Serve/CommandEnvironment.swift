import Glibc
import HostcallClient

/// What a served command finds in its environment, beside what `hostcall serve` has itself.
enum CommandEnvironment {
  /// Before the names of metadata.
  static let metadataPrefix = "HOSTCALL_META_"
  /// How many descriptors the command has got, from 3 on.
  static let descriptorsName = "HOSTCALL_FDS"

  /// The environment of this process, as `NAME=value`, read once.
  static let inherited: [String] = {
    var entries: [String] = []
    var next = environ
    while let entry = next.pointee {
      entries.append(String(cString: entry))
      next += 1
    }
    return entries
  }()

  /// The environment of the command for one call, as `NAME=value`.
  ///
  /// Of what is inherited, what describes a call that `hostcall serve` itself may be part of is left out.
  static func entries(for request: HostcallRequest, socketPath: String, inherited: [String]) -> [String] {
    let variables = variables(for: request, socketPath: socketPath)
    let kept = inherited.filter { entry in
      let name = entry.prefix { $0 != "=" }
      return !name.hasPrefix(metadataPrefix) && name != descriptorsName && variables[String(name)] == nil
    }
    return kept + variables.map { "\($0.key)=\($0.value)" }
  }

  /// The variables that describe one call.
  static func variables(for request: HostcallRequest, socketPath: String) -> [String: String] {
    var variables: [String: String] = [:]
    for entry in request.metadata.entries { variables[name(forMetadata: entry.key)] = entry.value }
    variables["HOSTCALL_FUNCTION"] = request.function
    variables["HOSTCALL_CALL_ID"] = "\(request.correlationID)"
    variables["HOSTCALL_TIMEOUT_MS"] = "\(Int64(max(1, request.timeLeft / .milliseconds(1))))"
    variables["HOSTCALL_ENCODING"] = "\(request.encoding)"
    variables["HOSTCALL_SOCKET"] = socketPath
    if !request.descriptors.isEmpty { variables[descriptorsName] = "\(request.descriptors.count)" }
    return variables
  }

  /// `trace-id` is `HOSTCALL_META_TRACE_ID`. Keys have no `_`, so no two become one.
  static func name(forMetadata key: String) -> String {
    metadataPrefix + key.uppercased().replacing("-", with: "_")
  }
}
