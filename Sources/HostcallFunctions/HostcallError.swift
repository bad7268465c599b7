public import HostcallWire

/// Why a call, or something else asked of a client, did not succeed.
///
/// Reads well on a terminal: `token.fetch: TIMEOUT from the daemon: no outcome within 250 ms (call 4294967301)`.
public struct HostcallError: Error, Sendable {
  /// What kind of error it is.
  public struct Code: Hashable, Sendable {
    private enum Kind: Hashable {
      case status(Status)
      case cannotConnect
      case connectionLost
      case closed
      case invalidArgument
    }
    private let kind: Kind

    /// An outcome with a status other than OK; ``HostcallError/origin`` says whose.
    public static func status(_ status: Status) -> Code { Code(kind: .status(status)) }
    /// The daemon cannot be reached, or does not take this peer. Nothing was started.
    public static let cannotConnect = Code(kind: .cannotConnect)
    /// The connection ended before the outcome came: what was under way may or may not have run.
    public static let connectionLost = Code(kind: .connectionLost)
    /// The client was closed by this program.
    public static let closed = Code(kind: .closed)
    /// A name, option or value that cannot be; nothing was sent.
    public static let invalidArgument = Code(kind: .invalidArgument)

    /// The status where the code is one.
    var status: Status? {
      if case .status(let status) = kind { status } else { nil }
    }
  }

  /// Who found it.
  public enum Origin: Sendable, Hashable {
    /// The daemon: a rule, limit or deadline of its own, or a GOAWAY.
    case daemon
    /// The worker chose the status and the payload.
    case worker
    /// This client, without an answer from anybody.
    case client
  }

  /// What kind of error it is.
  public let code: Code
  /// The status of protocol section 6, where there is one; also where the connection ended with one.
  public let status: Status?
  /// Who found it.
  public let origin: Origin
  /// The function that was called or registered, nil where it is about the connection.
  public let function: String?
  /// The number by which worker, logs and tools know the call, nil where none was issued.
  public let correlationID: UInt64?
  /// What happened, for people; from the payload where that is text.
  public let message: String
  /// What came with the status, empty where nothing did.
  public let payload: [UInt8]
  /// What the payload's bytes are.
  public let encoding: PayloadEncoding
  /// What the worker sent beside the payload.
  public let metadata: Metadata

  /// An error; the status is the code's unless it is given.
  package init(
    _ code: Code, status: Status? = nil, origin: Origin = .client, function: String? = nil,
    correlationID: UInt64? = nil, message: String, payload: [UInt8] = [], encoding: PayloadEncoding = .raw,
    metadata: Metadata = [:]
  ) {
    self.code = code
    self.status = status ?? code.status
    self.origin = origin
    self.function = function
    self.correlationID = correlationID
    self.message = message
    self.payload = payload
    self.encoding = encoding
    self.metadata = metadata
  }

  /// The same error, about a function.
  package func about(_ function: String) -> HostcallError {
    HostcallError(
      code, status: status, origin: origin, function: function, correlationID: correlationID, message: message,
      payload: payload, encoding: encoding, metadata: metadata)
  }
}

extension HostcallError {
  /// What a RESULT with a status other than OK is to whoever asked.
  package init(_ result: DecodedFrame, function: String?) {
    let header = result.header
    let payload = Array(result.payload)
    self.init(
      .status(header.status), origin: header.flags.has(.fromWorker) ? .worker : .daemon, function: function,
      correlationID: header.call == 0 ? nil : header.call,
      message: PayloadText.text(payload[...], encoding: header.encoding), payload: payload, encoding: header.encoding,
      metadata: Metadata(of: result))
  }
}

extension HostcallError: CustomStringConvertible {
  /// One line (more where the message has more): function, status and whose it is, message, call.
  public var description: String {
    var parts: [String] = []
    if let function { parts.append(function) }
    if let status = code.status {
      switch origin {
      case .daemon: parts.append("\(status) from the daemon")
      case .worker: parts.append("\(status) from the worker")
      case .client: parts.append("\(status)")
      }
    }
    // The daemon's sentences begin with the function, which is said once.
    let sentence = function.map { message.hasPrefix("\($0): ") ? message.dropFirst($0.count + 2) : message[...] }
    if !message.isEmpty { parts.append(PayloadText.printable(String(sentence ?? message[...]))) }
    let text = parts.joined(separator: ": ")
    guard let correlationID else { return text }
    return "\(text) (call \(correlationID))"
  }
}
