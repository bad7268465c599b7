/// What a frame is (protocol section 4).
public enum FrameKind: UInt8, Sendable, CaseIterable {
  case hello = 1
  case welcome = 2
  case goaway = 3
  case ping = 4
  case pong = 5
  case register = 8
  case unregister = 9
  case bind = 10
  case call = 16
  case result = 17
  case invoke = 18
  case complete = 19
  case cancel = 20
  case rejected = 21
  case item = 22
  case credit = 23
  case subscribe = 32
  case unsubscribe = 33
  case publish = 34
  case event = 35
}

/// Which side sends a frame.
package enum FrameDirection: Sendable {
  /// From a peer to the daemon, `P→D` in the protocol.
  case toDaemon
  /// From the daemon to a peer, `D→P`.
  case toPeer
}

extension FrameKind: CustomStringConvertible {
  /// The protocol's name of the kind, such as `CALL`.
  public var description: String {
    switch self {
    case .hello: "HELLO"
    case .welcome: "WELCOME"
    case .goaway: "GOAWAY"
    case .ping: "PING"
    case .pong: "PONG"
    case .register: "REGISTER"
    case .unregister: "UNREGISTER"
    case .bind: "BIND"
    case .call: "CALL"
    case .result: "RESULT"
    case .invoke: "INVOKE"
    case .complete: "COMPLETE"
    case .cancel: "CANCEL"
    case .rejected: "REJECTED"
    case .item: "ITEM"
    case .credit: "CREDIT"
    case .subscribe: "SUBSCRIBE"
    case .unsubscribe: "UNSUBSCRIBE"
    case .publish: "PUBLISH"
    case .event: "EVENT"
    }
  }
}

extension FrameKind {
  /// Whether this side may send the kind.
  package func maySend(_ direction: FrameDirection) -> Bool {
    switch self {
    case .goaway, .ping, .pong, .cancel, .item, .credit: true
    case .hello, .register, .unregister, .bind, .call, .complete, .subscribe, .unsubscribe, .publish:
      direction == .toDaemon
    case .welcome, .result, .invoke, .rejected, .event: direction == .toPeer
    }
  }

  /// The flags that have a meaning for the kind (protocol section 5).
  package var allowedFlags: FrameFlags {
    // As bits: a set literal is put together anew each time, and this is asked for each frame.
    switch self {
    case .call: FrameFlags(rawValue: 0x3d)
    case .invoke: FrameFlags(rawValue: 0x19)
    case .complete: .descriptors
    case .result: FrameFlags(rawValue: 0x50)
    case .item: .last
    default: FrameFlags(rawValue: 0)
    }
  }

  /// Whether its id, a request id or a correlation id, must not be zero.
  package var needsID: Bool {
    switch self {
    case .hello, .goaway, .ping, .pong, .publish: false
    default: true
    }
  }

  /// Whether each frame of the kind, too large or not, is answered by one RESULT for its request id.
  @inlinable
  public var isAnsweredByResult: Bool {
    switch self {
    case .register, .unregister, .bind, .call, .subscribe, .unsubscribe, .publish: true
    default: false
    }
  }

  /// What the name at the start of the body has to be.
  package enum NameRule: Sendable {
    /// The kind has no name; one that comes anyway is passed over, but malformed it is refused as everywhere.
    case unused
    /// A name, no pattern.
    case name
    /// A name or a pattern.
    case nameOrPattern
    /// A name, or nothing: CALL by handle, INVOKE of an exact registration.
    case optionalName
  }

  package var nameRule: NameRule {
    switch self {
    case .register, .subscribe, .unsubscribe: .nameOrPattern
    case .bind, .publish, .event: .name
    case .call, .invoke: .optionalName
    default: .unused
    }
  }
}
