import Glibc
import HostcallFunctions
import HostcallWire

extension HostcallClient {
  /// What a client needs to know.
  ///
  /// Every part has a default.
  public struct Configuration: Sendable {
    /// The daemon's socket; nil for the default: `HOSTCALL_SOCKET`, else `hostcall.sock` in the first of
    /// `RUNTIME_DIRECTORY`, else in `XDG_RUNTIME_DIR`, else `/run/hostcall/hostcall.sock` for root.
    public var socketPath: String?

    /// Who this is, for `hostcall peers` and the daemon's log: `name/version`.
    ///
    /// The default is the process's name.
    public var clientName: String

    /// What happens when the connection is lost.
    public var reconnect: ReconnectPolicy

    /// How long the daemon may take to answer the first frame.
    public var connectTimeout: Duration = .seconds(5)

    /// How long the daemon may be silent, even when asked, while something depends on it; then the connection counts as
    /// lost.
    ///
    /// Nil: for ever.
    public var livenessLimit: Duration? = .seconds(30)

    /// How long after a call's deadline the daemon may take to tell of its end; then the client ends the call itself, with
    /// TIMEOUT.
    ///
    /// For calls that have a timeout of their own, or inherit one.
    public var deadlineGrace: Duration = .seconds(1)

    /// Bytes of the largest body that is taken from the daemon.
    ///
    /// What is larger ends its call with TOO_LARGE.
    public var largestFrameBytes: UInt32 = 256 << 20

    /// How many bytes may wait for a daemon that does not read, or for a connection.
    ///
    /// A call beyond it ends with OVERLOADED at once.
    public var largestQueueBytes: Int = 256 << 20

    /// How many items of one stream may be on their way to their consumer in this program: results of a call whose
    /// `stream` does not say, and arguments of each call that it answers.
    ///
    /// Between 1 and 1,048,576. Each stream may take that many items' bytes of memory.
    public var itemWindow: Int = 32

    /// How many bytes may wait for a daemon that does not read, before items that are to be sent wait with their
    /// senders.
    public var itemQueueBytes: Int = 1 << 20

    /// How many events may wait for one consumer in this program; past that its oldest are dropped, and counted.
    public var waitingEvents: Int = 1_024

    /// How many bytes of events may wait for one consumer in this program, beside the newest event; past that its oldest
    /// are dropped, and counted.
    public var waitingEventBytes: Int = 8 << 20

    /// A configuration; what is not given here can be set after.
    public init(
      socketPath: String? = nil, clientName: String? = nil, reconnect: ReconnectPolicy = .whenRegistered
    ) {
      self.socketPath = socketPath
      self.clientName = clientName ?? Self.processName
      self.reconnect = reconnect
    }

    /// The last part of the path by which the program was started.
    private static var processName: String {
      let path = CommandLine.arguments.first ?? ""
      return path.split(separator: "/").last.map(String.init) ?? "swift"
    }

    /// The path to connect to, after the rules.
    func resolvedSocketPath() throws(HostcallError) -> String {
      if let socketPath { return socketPath }
      do throws(SocketLocationError) {
        return try SocketLocation.path(userID: geteuid()) { name in getenv(name).map { String(cString: $0) } }
      } catch {
        throw HostcallError(.cannotConnect, message: error.description)
      }
    }
  }
}
