import Glibc

/// The environment of this process, read once.
enum InheritedEnvironment {
  /// The names of its variables.
  static let names: [String] = {
    var names: [String] = []
    var entry = environ
    while let text = entry.pointee {
      if let name = String(cString: text).split(separator: "=", maxSplits: 1).first { names.append(String(name)) }
      entry += 1
    }
    return names
  }()
}
