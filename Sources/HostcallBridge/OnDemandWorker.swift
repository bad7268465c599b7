import HostcallWire

/// A worker that is started when a call wants one of its functions and nobody has registered it.
public struct OnDemandWorker: Sendable, Equatable {
  /// How it is started.
  public enum Launch: Sendable, Equatable {
    /// As a process of the daemon's own: the program by its whole path, then its arguments.
    case command([String])
    /// By the service manager, which has a path unit of this name watch for a file, see `hostcall-worker@.path`.
    case unit(String)
  }

  /// What people know it by.
  public var name: String
  /// The names and patterns that it registers, as it registers them.
  public var functions: [String]
  public var launch: Launch
  /// How long it may take until it has registered what calls wait for, in milliseconds; then it is ended.
  public var startMilliseconds = 10_000
  /// How long it is not started again after it has ended, in milliseconds: so long at first, twice as long each time, but no
  /// longer than the other.
  public var firstDelayMilliseconds = 100
  public var longestDelayMilliseconds = 30_000
  /// How often it is started within so many milliseconds. After that no call waits for it until that time is over.
  public var starts = 10
  public var startsWithinMilliseconds = 60_000

  /// How long it may take to end when it is told to, in milliseconds; then it is killed.
  public var stopMilliseconds = 7_000

  public init(_ name: String, functions: [String], launch: Launch) {
    self.name = name
    self.functions = functions
    self.launch = launch
  }

  /// Errors: one of them cannot be, or not beside the others.
  package static func check(_ workers: [OnDemandWorker]) throws(OnDemandWorkerError) {
    var names: Set<String> = []
    var owners: [String: String] = [:]
    for (index, worker) in workers.enumerated() {
      try worker.check(index)
      guard names.insert(worker.name).inserted else {
        throw OnDemandWorkerError(index, "name", "two workers are called “\(worker.name)”")
      }
      for name in worker.functions {
        if let other = owners.updateValue(worker.name, forKey: name) {
          throw OnDemandWorkerError(index, "functions", "the worker “\(other)” has \(name) already")
        }
      }
    }
  }

  private func check(_ index: Int) throws(OnDemandWorkerError) {
    guard !name.isEmpty else {
      throw OnDemandWorkerError(index, "name", "a worker must have a name, such as name = \"thumbnails\"")
    }
    guard !functions.isEmpty else {
      throw OnDemandWorkerError(
        index, "functions", "worker.functions must be a list of at least one, such as \(Self.functionsExample)")
    }
    for name in functions {
      guard NameRules.isName(name) || NameRules.isPattern(name), !name.hasPrefix(ProtocolConstants.reservedNamePrefix)
      else {
        throw OnDemandWorkerError(index, "functions", "“\(name)” is no name or pattern that a worker can register")
      }
    }
    switch launch {
    case .command(let command):
      guard command.first?.hasPrefix("/") == true, !command.contains(where: { $0.utf8.contains(0) }) else {
        throw OnDemandWorkerError(
          index, "command",
          "worker.command must be a program by its whole path and its arguments, such as \(Self.commandExample)")
      }
    case .unit(let unit):
      guard NameRules.isName(unit) else {
        throw OnDemandWorkerError(
          index, "unit",
          "worker.unit must be NAME of hostcall-worker@NAME.path, of letters, digits, _, - and single dots, in quotes")
      }
    }
    for number in Self.numbers where !number.range.contains(self[keyPath: number.keyPath]) {
      throw OnDemandWorkerError(
        index, number.name,
        "worker.\(number.name) must be a whole number from \(number.range.lowerBound) to \(number.range.upperBound)")
    }
  }

  package static let functionsExample = "functions = [\"image.thumbnail\", \"image.convert.*\"]"
  package static let commandExample = "command = [\"/usr/bin/thumbnails\", \"--fast\"]"

  /// What a worker has of numbers, as a configuration calls them, with what may be.
  package static let numbers:
    [(name: String, keyPath: any WritableKeyPath<OnDemandWorker, Int> & Sendable, range: ClosedRange<Int>)] = [
      ("start-milliseconds", \.startMilliseconds, 1...3_600_000),
      ("first-delay-milliseconds", \.firstDelayMilliseconds, 0...3_600_000),
      ("longest-delay-milliseconds", \.longestDelayMilliseconds, 0...86_400_000),
      ("starts", \.starts, 1...1_000),
      ("starts-within-milliseconds", \.startsWithinMilliseconds, 1...86_400_000),
      ("stop-milliseconds", \.stopMilliseconds, 1...600_000),
    ]
}

/// Why a worker cannot be.
package struct OnDemandWorkerError: Error, CustomStringConvertible {
  /// Its place among the workers, from 0.
  package let worker: Int
  /// The key of the configuration that is wrong.
  package let key: String
  package let description: String

  init(_ worker: Int, _ key: String, _ description: String) {
    self.worker = worker
    self.key = key
    self.description = description
  }
}
