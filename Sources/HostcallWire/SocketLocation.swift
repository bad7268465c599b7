/// Where the daemon's socket is, for the daemon and for every client that was not told otherwise.
package enum SocketLocation {
  /// The variable that names the socket itself.
  package static let environmentName = "HOSTCALL_SOCKET"
  /// The file's name inside a directory for run-time files.
  package static let fileName = "hostcall.sock"

  /// The path of the socket: `HOSTCALL_SOCKET`; else `hostcall.sock` in the first directory of `RUNTIME_DIRECTORY`, as
  /// systemd sets it; else in `XDG_RUNTIME_DIR`; else, for root, in `/run/hostcall`.
  ///
  /// A variable that is set to nothing counts as not set. Errors: no rule applies.
  ///
  /// - Parameters:
  ///   - userID: the effective user of the process.
  ///   - environment: looks a variable up.
  package static func path(
    userID: UInt32, environment: (String) -> String?
  ) throws(SocketLocationError) -> String {
    func value(_ name: String) -> String? {
      guard let value = environment(name), !value.isEmpty else { return nil }
      return value
    }
    if let path = value(environmentName) { return path }
    if let first = value("RUNTIME_DIRECTORY")?.split(separator: ":").first { return file(in: String(first)) }
    if let directory = value("XDG_RUNTIME_DIR") { return file(in: directory) }
    if userID == 0 { return file(in: "/run/hostcall") }
    throw SocketLocationError()
  }

  private static func file(in directory: String) -> String {
    directory.hasSuffix("/") ? directory + fileName : "\(directory)/\(fileName)"
  }
}

/// Nothing says where the socket is.
package struct SocketLocationError: Error, Sendable, Equatable, CustomStringConvertible {
  package init() {}

  package var description: String {
    "cannot tell where the socket of hostcalld is: neither HOSTCALL_SOCKET, RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set "
      + "(set HOSTCALL_SOCKET to its path)"
  }
}
