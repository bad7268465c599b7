import CLibuv
import Glibc

/// What a service manager has handed over, as sd_listen_fds(3) describes it.
package struct Inheritance: Sendable {
  package var sockets: [InheritedSocket] = []
  /// What an earlier process of the service had kept under the name that was asked for.
  package var kept: [Int32] = []
}

/// A listening socket that a service manager has opened and handed over.
package struct InheritedSocket: Sendable, Equatable {
  /// The first descriptor that a service manager hands over.
  private static let firstDescriptor: Int32 = 3

  /// The socket, non-blocking and closed on exec, to be closed by whoever has taken this.
  package let descriptor: Int32
  /// What the manager calls it: `FileDescriptorName=`, or the name of its unit.
  package let name: String

  /// Takes the sockets that the environment tells of, and what was kept; nothing where it tells of nothing, or of another
  /// process's.
  ///
  /// The only thread, and once: the descriptors are the caller's from then on.
  ///
  /// Errors: one of them is not a listening Unix stream socket, nor has the name of what is kept; then none is taken.
  package static func takeAll(
    environment: (String) -> String?, processID: Int32, keptName: String
  ) throws(LoopError) -> Inheritance {
    guard environment("LISTEN_PID") == "\(processID)", let count = environment("LISTEN_FDS").flatMap({ Int32($0) }),
      count > 0, count <= 1_024
    else { return Inheritance() }
    let names = environment("LISTEN_FDNAMES")?.split(separator: ":", omittingEmptySubsequences: false) ?? []
    var inheritance = Inheritance()
    for index in 0..<count {
      let descriptor = firstDescriptor + index
      let name = Int(index) < names.count ? String(names[Int(index)]) : "unknown"
      if name == keptName {
        inheritance.kept.append(descriptor)
      } else {
        try check(descriptor, name)
        inheritance.sockets.append(InheritedSocket(descriptor: descriptor, name: name))
      }
    }
    for descriptor in inheritance.kept + inheritance.sockets.map(\.descriptor) {
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }
    return inheritance
  }

  private static func check(_ descriptor: Int32, _ name: String) throws(LoopError) {
    guard
      option(SO_ACCEPTCONN, of: descriptor) == 1, option(SO_DOMAIN, of: descriptor) == AF_UNIX,
      option(SO_TYPE, of: descriptor) == Int32(SOCK_STREAM.rawValue)
    else {
      throw LoopError(
        attempted: "listen on the descriptor \(descriptor) (\(name)) from the service manager", code: ENOTSOCK,
        reason: "it is not a listening Unix stream socket",
        advice: "use ListenStream= with a path in the socket unit, and Accept=no")
    }
  }

  private static func option(_ name: Int32, of descriptor: Int32) -> Int32? {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
  }
}
