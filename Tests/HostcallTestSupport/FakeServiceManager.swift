import Glibc

/// The socket of a service manager, for a daemon that tells it how it is (sd_notify(3)).
///
/// Thread: one at a time.
package final class FakeServiceManager {
  /// What a program has to have in its environment to find it.
  package let environment: [String: String]
  private let descriptor: Int32
  private let path: String?

  package struct Silence: Error {}

  /// Listens on a path, or on a name in the abstract namespace with `@` in front.
  package init(at address: String) {
    environment = ["NOTIFY_SOCKET": address]
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    let isAbstract = address.hasPrefix("@")
    path = isAbstract ? nil : address
    withUnsafeMutableBytes(of: &name.sun_path) { bytes in
      bytes.copyBytes(from: address.utf8)
      if isAbstract { bytes[0] = 0 }
    }
    let size = isAbstract ? 2 + address.utf8.count : MemoryLayout<sockaddr_un>.size
    let code = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(size)) }
    }
    precondition(code == 0, "a test cannot listen on \(address): \(errno)")
  }

  deinit {
    close(descriptor)
    if let path { unlink(path) }
  }

  /// The next thing that it is told, as its assignments; waits for it.
  package func next() throws -> [String: String] {
    var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&interest, 1, 30_000) > 0, let told = received() else { throw Silence() }
    return told
  }

  /// The next thing with this assignment; those before it are passed over.
  package func next(_ key: String) throws -> [String: String] {
    while true {
      let told = try next()
      if told[key] != nil { return told }
    }
  }

  /// What it was told already, or nil.
  package func received() -> [String: String]? {
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    guard count >= 0 else { return nil }
    let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
    return Dictionary(
      lines.map { line in
        let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
      }, uniquingKeysWith: { $1 })
  }
}
