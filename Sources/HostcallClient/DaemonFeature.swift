import HostcallFunctions
import HostcallWire

/// What a daemon may be able to do beyond the first slice of the protocol, and names in its WELCOME.
enum DaemonFeature: String {
  case streams
  case events
  case descriptors
}

extension ClientLink {
  /// Why nothing that needs the feature can be asked of this daemon, nil where it can.
  func lack(of feature: DaemonFeature) -> HostcallError? {
    guard let welcome, !welcome.features.contains(feature.rawValue) else { return nil }
    let server = welcome.server.isEmpty ? "the daemon" : "the daemon, \(welcome.server),"
    return HostcallError(
      .status(.unavailable),
      message: "\(server) has no \(feature.rawValue): a newer hostcalld names that feature in its WELCOME")
  }
}
