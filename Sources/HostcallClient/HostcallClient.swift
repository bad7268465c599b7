public import HostcallFunctions
import HostcallLoop
import HostcallWire

/// A program's way to its daemon: calls host functions, and registers its own.
///
/// ```swift
/// let client = try await HostcallClient.connect()
/// let token = try await client.call("token.fetch", "alice", timeout: .seconds(1))
/// try await client.register("greet", concurrency: 8) { request in "hello \(request.text)" }
/// await client.waitUntilClosed()
/// ```
///
/// Thread: any, any number at a time. All clients of a process share one loop thread; handlers run as tasks off it.
///
/// A client closes with the last reference to it, unless it has registrations: those stay until they are unregistered,
/// the client is closed or shut down, or the process ends. Calls, streams and events that somebody still waits for keep
/// it open too.
public final class HostcallClient: Sendable {
  let connection: ClientConnection

  /// What it was connected with.
  package var configuration: Configuration { connection.configuration }

  init(_ connection: ClientConnection) {
    self.connection = connection
  }

  deinit {
    connection.enter { $0.abandon() }
  }

  /// Connects to the daemon and waits for its WELCOME (protocol section 3).
  ///
  /// Errors: `cannotConnect`, which says which socket was tried and what to do.
  public static func connect(_ configuration: Configuration = Configuration()) async throws(HostcallError)
    -> HostcallClient
  {
    let loop = try ClientLoop.shared()
    let connection = ClientConnection(
      loop: loop, configuration: configuration, path: try configuration.resolvedSocketPath())
    let error = await withCheckedContinuation { continuation in
      connection.enter { $0.connectFirst { continuation.resume(returning: $0) } }
    }
    if let error { throw error }
    return HostcallClient(connection)
  }

  /// The socket that the client connects to.
  public var socketPath: String { connection.path }

  /// What the daemon said about itself and the present connection; nil while there is none.
  public var serverInformation: HostcallServerInformation? {
    get async {
      await withCheckedContinuation { continuation in
        connection.enter { connection in
          continuation.resume(returning: connection.link?.welcome.map(HostcallServerInformation.init))
        }
      }
    }
  }

  /// Asks the daemon for a sign of life; gives back how long it took (protocol section 4, PING).
  ///
  /// The daemon handles the frames of a connection in order: when this returns, it has seen everything sent before.
  /// Errors: `connectionLost`, `closed`. It does not connect anew.
  @discardableResult
  public func ping() async throws(HostcallError) -> Duration {
    let connection = connection
    return try await withCheckedContinuation { continuation in
      connection.enter { $0.ping { continuation.resume(returning: $0) } }
    }.get()
  }

  /// The completions that the daemon did not take, such as late ones (protocol section 4, REJECTED).
  ///
  /// For one reader; the latest 256 wait for it. It ends when the client is closed.
  public var rejections: AsyncStream<HostcallRejection> { connection.rejections }

  /// What happens to the connection, from the first WELCOME on.
  ///
  /// For one reader; the latest 256 wait for it. It ends when the client is closed.
  public var connectionEvents: AsyncStream<HostcallConnectionEvent> { connection.events }

  /// Closes at once: calls under way fail with `closed`, running handlers are cancelled and their outcome is lost.
  ///
  /// What was sent before by ``send(_:_:encoding:timeout:options:metadata:)`` still leaves, as far as the socket takes
  /// it.
  public func close() async {
    let connection = connection
    _ = await withCheckedContinuation { continuation in
      connection.enter {
        $0.closeNow()
        $0.waitUntilClosed { continuation.resume(returning: $0) }
      }
    }
  }

  /// Leaves in good order: takes no more calls, finishes those it has, sends their outcomes, and closes.
  ///
  /// Calls that handlers make still go out; other new ones fail with `closed`. Returns when all that is done
  /// (protocol section 4, *Liveness and leaving*); ``close()`` cuts it short.
  public func shutdown() async {
    let connection = connection
    _ = await withCheckedContinuation { continuation in
      connection.enter { $0.shutDown { continuation.resume(returning: $0) } }
    }
  }

  /// Waits until the client is closed for good.
  ///
  /// Returns nil where this program closed it or shut it down, otherwise why it ended: with ``ReconnectPolicy/never``
  /// that is the loss of its connection.
  @discardableResult
  public func waitUntilClosed() async -> HostcallError? {
    let connection = connection
    return await withCheckedContinuation { continuation in
      connection.enter { $0.waitUntilClosed { continuation.resume(returning: $0) } }
    }
  }
}
