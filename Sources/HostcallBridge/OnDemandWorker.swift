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
  /// How long it may take until it has registered one of them, in milliseconds; then it is ended.
  public var startMilliseconds = 10_000
  /// How long it is not started again after it has ended, in milliseconds: so long at first, twice as long each time, but no
  /// longer than the other.
  public var firstDelayMilliseconds = 100
  public var longestDelayMilliseconds = 30_000
  /// How often it is started within so many milliseconds. After that no call waits for it until that time is over.
  public var starts = 10
  public var startsWithinMilliseconds = 60_000

  public init(_ name: String, functions: [String], launch: Launch) {
    self.name = name
    self.functions = functions
    self.launch = launch
  }
}
