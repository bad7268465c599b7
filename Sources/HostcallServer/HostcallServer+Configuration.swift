public import HostcallBridge
package import HostcallLoop

extension HostcallServer {
  /// What a server needs to know before it starts.
  public struct Configuration: Sendable {
    /// Where it listens: a path of at most 107 bytes. Nil serves this process alone.
    public var socketPath: String?
    /// Permissions of the socket's file. Who may write to it may connect.
    public var socketMode: UInt32 = 0o600
    /// Connections that may wait to be accepted.
    public var backlog: Int32 = 1_024
    /// What must not be exceeded.
    public var limits = Limits()
    /// The same for users for whom other limits hold, by their number. Only those of a connection and of a user count.
    public var limitsByUser: [UInt32: Limits] = [:]
    /// How many items of one stream may be on their way to their consumer in this process: results of a call whose
    /// `stream` does not say, and arguments of each call that it answers. Between 1 and 1,048,576.
    public var itemWindow: Int = 32
    /// How many events may wait for one consumer in this process; past that its oldest are dropped, and counted.
    public var waitingEvents: Int = 1_024
    /// How many bytes of events may wait for one consumer in this process, beside the newest event; past that its oldest
    /// are dropped, and counted.
    public var waitingEventBytes: Int = 8 << 20
    /// Who may do what, until ``HostcallServer/setPolicy(_:)``.
    public var policy = Policy()
    /// Workers that are started when a call wants one of their functions and nobody has registered it.
    public var workers: [OnDemandWorker] = []
    /// How long running calls may take to end after ``HostcallServer/shutdown()``.
    public var shutdownGrace: Duration = .seconds(10)
    /// What is told of what happens; called on the loop thread, so it must be quick.
    public var onEvent: @Sendable (ServerEvent) -> Void = { _ in }
    /// Sockets that a service manager has opened, to accept on instead of ``socketPath``; the server's from its start on.
    package var inheritedSockets: [InheritedSocket] = []
    /// What an earlier process of this server has left, to go on from there.
    package var handedOver: HandedOver?
    /// How long it serves while nobody is connected and no call is in flight, in milliseconds; nil for ever.
    package var idleMilliseconds: UInt64?
    /// Whether ``onEvent`` is told of every step of every call, at the level debug.
    package var tracesCalls = false
    /// What is told of how the server is; called on the loop thread, so it must be quick.
    package var onNews: (@Sendable (ServerNews) -> Void)?
    /// How often the loop shows that it turns, in milliseconds; nil where nobody wants to know.
    package var pulseMilliseconds: UInt64?

    /// The defaults, with a socket or without.
    public init(socketPath: String? = nil) {
      self.socketPath = socketPath
    }
  }
}

/// Something that an operator may want to read: one line of a log.
public struct ServerEvent: Sendable {
  /// How much it matters.
  public enum Level: Sendable {
    case debug
    case info
    case notice
    case warning
    case error
  }

  /// How much it matters.
  public let level: Level
  /// What happened, such as `peer connected`.
  public let message: String
  /// What it happened to, in order.
  public let fields: [(key: String, value: String)]

  init(_ level: Level, _ message: String, _ fields: [(key: String, value: String)] = []) {
    self.level = level
    self.message = message
    self.fields = fields
  }
}

/// Why a server cannot start or go on. Reads well on a terminal.
public struct ServerError: Error, Sendable, CustomStringConvertible {
  /// What was attempted, what happened, what to do.
  public let description: String

  init(_ description: String) {
    self.description = description
  }
}
