import Glibc

/// The units of systemd that processes belong to.
package enum SystemUnit {
  /// Bytes of the longest description of a process's groups that is looked at.
  private static let longestBytes = 4_096

  /// The unit of a process, such as `cron.service`; nil where it has none, or this process may not know.
  package static func name(ofProcess processID: Int32) -> String? {
    let descriptor = open("/proc/\(processID)/cgroup", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: longestBytes)
    let count = read(descriptor, &bytes, bytes.count)
    return count > 0 ? name(inGroups: String(decoding: bytes[..<count], as: UTF8.self)) : nil
  }

  /// The innermost unit in what the kernel tells of a process's control groups.
  static func name(inGroups text: String) -> String? {
    // The line of the one hierarchy, or of systemd's own among several.
    let line = text.split(separator: "\n").first { $0.hasPrefix("0::") || $0.contains(":name=systemd:") }
    let parts = line?.split(separator: "/").dropFirst() ?? []
    return parts.last { $0.hasSuffix(".service") || $0.hasSuffix(".scope") }.map(String.init)
  }
}
