package import HostcallWire

/// How a registration joins others of its name (protocol section 4, *Registering*).
public enum RegistrationMode: String, Sendable, Hashable, CaseIterable {
  /// Joins the others of that name.
  case shared
  /// Is refused if anyone has the name, and keeps everyone else out.
  case exclusive
  /// Takes all new and queued calls; those that had the name finish what they have.
  case replace
}

/// What a host function is registered with, checked, in the form in which REGISTER carries it.
package struct RegistrationParameters: Sendable {
  package let name: String
  package let concurrency: UInt32
  package let timeoutMilliseconds: UInt32
  package let metadata: Metadata

  /// Throws `invalidArgument` where no daemon would take it.
  package init(
    name: String, concurrency: Int, mode: RegistrationMode, timeout: Duration?, idempotent: Bool, callerIdentity: Bool
  ) throws(HostcallError) {
    try PatternRules.check(name)
    guard let concurrency = UInt32(exactly: concurrency) else {
      throw HostcallError(
        .invalidArgument, function: name, message: "a concurrency of \(concurrency) cannot be: 0 is the default")
    }
    if let timeout, timeout <= .zero {
      throw HostcallError(
        .invalidArgument, function: name,
        message: "a longest run of \(timeout) cannot be: leave it out for the default")
    }
    self.name = name
    self.concurrency = concurrency
    timeoutMilliseconds = timeout.map(TimeoutRules.wireMilliseconds) ?? 0
    var metadata = Metadata()
    if mode != .shared { metadata["mode"] = mode.rawValue }
    if idempotent { metadata["idempotent"] = "true" }
    if callerIdentity { metadata["caller"] = "true" }
    self.metadata = metadata
  }

  /// REGISTER's header.
  package func header(request: UInt64) -> FrameHeader {
    FrameHeader(kind: .register, id: request, timeoutMilliseconds: timeoutMilliseconds, aux: concurrency)
  }
}
