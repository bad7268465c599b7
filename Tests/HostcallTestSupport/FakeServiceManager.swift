import Glibc
import HostcallLoop

/// The socket of a service manager, for a daemon that tells it how it is (sd_notify(3)), and the manager's store of
/// descriptors.
///
/// Thread: one at a time.
package final class FakeServiceManager {
  /// What a program has to have in its environment to find it.
  package let environment: [String: String]
  private let descriptor: Int32
  private let path: String?
  /// What it was given to keep, with the name of each.
  package private(set) var kept: [(name: String, descriptor: Int32)] = []

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
    for entry in kept { close(entry.descriptor) }
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

  /// What it was told already, or nil. What it is told to keep or to let go of is kept, or closed.
  package func received() -> [String: String]? {
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let (count, descriptors) = bytes.withUnsafeMutableBytes {
      SocketMessage.receive(descriptor, into: $0, flags: Int32(MSG_DONTWAIT))
    }
    guard count >= 0 else { return nil }
    let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
    let told = Dictionary(
      lines.map { line in
        let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
      }, uniquingKeysWith: { $1 })
    keep(descriptors, told)
    return told
  }

  private func keep(_ descriptors: [Int32], _ told: [String: String]) {
    let name = told["FDNAME"] ?? "stored"
    if told["FDSTORE"] == "1" {
      kept += descriptors.map { (name, $0) }
    } else {
      // Of a barrier: whoever waits for it sees that everything before it was taken.
      for descriptor in descriptors { close(descriptor) }
    }
    if told["FDSTOREREMOVE"] == "1" {
      for entry in kept where entry.name == name { close(entry.descriptor) }
      kept.removeAll { $0.name == name }
    }
  }

  /// What may happen to a state that is kept.
  package enum Damage: CaseIterable, Sendable {
    case garbage
    case cut
    case changed
    case ofAnotherVersion
    /// What is kept is no parcel at all.
    case replaced
  }

  /// Damages what it was given to keep.
  package func damage(_ damage: Damage) throws {
    for place in kept.indices {
      var (bytes, descriptors) = try Parcel.unpack(kept[place].descriptor)
      switch damage {
      case .garbage: bytes = [1, 2, 3]
      case .cut: bytes.removeLast()
      case .changed: bytes[bytes.count / 2] ^= 4
      case .ofAnotherVersion: bytes[8] += 1
      case .replaced: break
      }
      kept[place].descriptor =
        damage == .replaced ? open("/dev/null", O_RDWR | O_CLOEXEC) : try Parcel.pack(bytes, descriptors)
      for descriptor in descriptors { close(descriptor) }
    }
  }

  /// Takes what it is told while something else goes on: until that is over, or this is told.
  package func serve(until awaited: String? = nil, while isGoingOn: () -> Bool) {
    while isGoingOn() {
      var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      // The other end may have ended without a word.
      guard poll(&interest, 1, 1) > 0, let told = received() else { continue }
      if let awaited, told[awaited] != nil { return }
    }
    while received() != nil {}
  }
}
