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
  public var stopMilliseconds = Self.usualStopMilliseconds

  package static let usualStopMilliseconds = 7_000

  public init(_ name: String, functions: [String], launch: Launch) {
    self.name = name
    self.functions = functions
    self.launch = launch
  }

  /// Why these workers cannot be, nil where they can.
  package static func problem(of workers: [OnDemandWorker]) -> String? {
    var names: Set<String> = []
    var functions: Set<String> = []
    for worker in workers {
      guard names.insert(worker.name).inserted else { return "two workers are called “\(worker.name)”" }
      for name in worker.functions {
        guard isFunction(name) else { return "“\(name)” is no name or pattern that a worker can register" }
        guard functions.insert(name).inserted else { return "two workers have \(name)" }
      }
      switch worker.launch {
      case .command(let command):
        guard command.first?.hasPrefix("/") == true else {
          return "the command of the worker “\(worker.name)” is no program by its whole path"
        }
      case .unit(let unit):
        guard NameRules.isName(unit) else { return "“\(unit)” is no unit that a worker can have" }
      }
      for number in numbers where !number.range.contains(worker[keyPath: number.keyPath]) {
        return "\(number.name) of the worker “\(worker.name)” is \(worker[keyPath: number.keyPath]) (choose "
          + "\(number.range.lowerBound) to \(number.range.upperBound))"
      }
    }
    return nil
  }

  /// Whether a worker can register something of this name.
  package static func isFunction(_ name: String) -> Bool {
    (NameRules.isName(name) || NameRules.isPattern(name)) && !name.hasPrefix(ProtocolConstants.reservedNamePrefix)
  }

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
