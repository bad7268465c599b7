package import HostcallWire

/// What a call is made with, checked, and completed by what the task's context hands down.
package struct CallParameters: Sendable {
  package let function: String
  package let encoding: PayloadEncoding
  package let flags: FrameFlags
  package let metadata: Metadata
  /// When the call must have ended; nil leaves that to the daemon's default.
  package let deadline: ContinuousClock.Instant?
  /// Whether a handler makes it.
  package let isInsideHandler: Bool
  /// How many result items the caller can take at first; 0 where it takes none.
  package let window: Int

  /// Throws `invalidArgument` where no daemon would take it.
  ///
  /// - Parameters:
  ///   - descriptors: are counted, not kept.
  ///   - window: how many result items may be on their way; nil where the caller takes none.
  package init(
    function: String, encoding: PayloadEncoding, timeout: Duration?, options: CallOptions, metadata: Metadata,
    wantsReply: Bool, descriptors: HostcallDescriptors = .none, hasArguments: Bool = false, window: Int? = nil
  ) throws(HostcallError) {
    var function = function
    function.makeContiguousUTF8()
    self.function = function
    self.encoding = encoding
    var flags = FrameFlags()
    if options.contains(.wait) { flags.insert(.wait) }
    if options.contains(.idempotent) { flags.insert(.idempotent) }
    if !wantsReply { flags.insert(.noReply) }
    if hasArguments { flags.insert(.open) }
    if !descriptors.isEmpty { flags.insert(.descriptors) }
    self.window = window.map(ItemWindow.clamped) ?? 0
    self.flags = flags
    let context = HostcallContext.current
    isInsideHandler = context?.correlationID != nil
    guard descriptors.isEmpty || metadata[Metadata.descriptorsKey] == nil else {
      throw HostcallError(
        .invalidArgument, function: function, message: "the metadata key descriptors says how many of them there are")
    }
    do throws(MetadataError) {
      self.metadata = Self.inherit(try metadata.counting(descriptors), from: context)
    } catch {
      throw HostcallError(.invalidArgument, function: function, message: error.reason)
    }
    let own = timeout.map { ContinuousClock.now + $0 }
    deadline = if let own, let inherited = context?.deadline { min(own, inherited) } else { own ?? context?.deadline }
    try check()
  }

  private static func inherit(_ metadata: Metadata, from context: HostcallContext?) -> Metadata {
    guard let traceParent = context?.traceParent, metadata["traceparent"] == nil else { return metadata }
    var metadata = metadata
    // Where the rules refuse them, or there is no room, the call goes without.
    try? metadata.set("traceparent", to: traceParent)
    if let traceState = context?.traceState { try? metadata.set("tracestate", to: traceState) }
    return metadata
  }

  private func check() throws(HostcallError) {
    guard NameRules.isName(function) else {
      throw HostcallError(
        .invalidArgument, function: function,
        message: "this is not a name that can be called: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots")
    }
    try Self.check(encoding, metadata, function: function)
  }

  /// What may not be sent with anything.
  static func check(
    _ encoding: PayloadEncoding, _ metadata: Metadata, function: String
  ) throws(HostcallError) {
    guard encoding.isAssigned else {
      throw HostcallError(.invalidArgument, function: function, message: "the encoding \(encoding) is reserved")
    }
    if let key = metadata.firstReservedKey {
      throw HostcallError(
        .invalidArgument, function: function, message: "the metadata key \(key) is for the daemon alone to write")
    }
  }

  /// Whether it needs the feature `streams`.
  package var hasStreams: Bool { window > 0 || flags.has(.open) }

  /// Whether it needs the feature `descriptors`.
  package var hasDescriptors: Bool { flags.has(.descriptors) }

  /// CALL's header.
  package func header(request: UInt64, timeoutMilliseconds: UInt32) -> FrameHeader {
    FrameHeader(
      kind: .call, flags: flags, encoding: encoding, id: request, timeoutMilliseconds: timeoutMilliseconds,
      aux: UInt32(window))
  }

  /// What goes into `timeout` on the wire, nil where no time is left. Asked for when the frame is written.
  package func timeoutMilliseconds() -> UInt32? {
    guard let deadline else { return 0 }
    let left = deadline - .now
    return left > .zero ? TimeoutRules.wireMilliseconds(left) : nil
  }
}

extension Metadata {
  /// A key that only the daemon may write, if there is one.
  var firstReservedKey: String? {
    guard !isEmpty else { return nil }
    return entries.first { $0.key.hasPrefix(ProtocolConstants.reservedKeyPrefix) }?.key
  }

  /// Without the keys that only the daemon may write.
  var withoutReservedKeys: Metadata {
    guard firstReservedKey != nil else { return self }
    var rest = self
    for entry in entries where entry.key.hasPrefix(ProtocolConstants.reservedKeyPrefix) { rest[entry.key] = nil }
    return rest
  }
}
