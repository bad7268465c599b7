/// Which system calls of a program under test are to fail, and how often: see `FaultInjection.h` for the names.
package struct FaultPlan: Sendable {
  /// Faults that pass: no connection may be lost to one, nor anything else.
  package static let passing = [
    "recv-eintr", "recv-eagain", "recv-enomem", "recv-short", "send-eintr", "send-eagain", "send-enobufs",
    "send-enomem", "send-short", "accept-eintr", "accept-eagain", "accept-econnaborted", "accept-emfile",
    "accept-enfile", "accept-enobufs", "accept-enomem", "wait-eintr",
  ]
  /// Faults that end the connection which meets them.
  package static let ending = ["recv-econnreset", "send-econnreset"]

  /// What is preloaded into the program, see `FaultInjection.h`.
  static let library = "\(ChildProcess.productsFolder)/libHostcallFaults.so"

  package var seed: UInt64
  /// How many of ten thousand calls meet each fault.
  package var rates: [String: Int]

  package init(seed: UInt64, rates: [String: Int]) {
    self.seed = seed
    self.rates = rates
  }

  /// What has the program meet the faults, and write at its end how often it did.
  package func environment(report: String? = nil) -> [String: String] {
    let plan = ["seed=\(seed)"] + rates.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    var environment = [
      "LD_PRELOAD": Self.library,
      "HOSTCALL_FAULTS": plan.joined(separator: ","),
    ]
    if let report { environment["HOSTCALL_FAULTS_REPORT"] = report }
    return environment
  }

  /// What a program has written at its end.
  package static func counts(inReport path: String) -> [String: Int] {
    var counts: [String: Int] = [:]
    for line in String(decoding: Files.read(path), as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2 { counts[String(words[0])] = Int(words[1]) }
    }
    return counts
  }
}
