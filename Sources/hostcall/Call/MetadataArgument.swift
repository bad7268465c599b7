import ArgumentParser
import HostcallClient
import HostcallWire

/// One `--meta key=value`.
struct MetadataArgument: Equatable {
  let key: String
  let value: String

  /// Reads `key=value`; the value may be empty and may contain `=`.
  static func parse(_ text: String) throws(ValidationError) -> MetadataArgument {
    guard let equals = text.firstIndex(of: "=") else { throw ValidationError("write it as key=value") }
    return MetadataArgument(key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
  }

  /// All of them together; a key that the rules refuse, or that stands there twice, is a usage error.
  static func metadata(_ arguments: [MetadataArgument]) throws(ValidationError) -> Metadata {
    var metadata = Metadata()
    for argument in arguments {
      guard !argument.key.hasPrefix(ProtocolConstants.reservedKeyPrefix) else {
        throw ValidationError("--meta \(argument.key): keys that begin with hostcall- are for the daemon to write.")
      }
      guard metadata[argument.key] == nil else {
        throw ValidationError("--meta \(argument.key): this key is given twice.")
      }
      do {
        try metadata.set(argument.key, to: argument.value)
      } catch {
        throw ValidationError("--meta: \(Diagnostics.oneLine(error.reason)).")
      }
    }
    return metadata
  }
}
