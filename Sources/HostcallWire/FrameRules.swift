/// The rules of section 3 that a single frame can break, whatever came before it on the connection.
package enum FrameRules {
  /// Checks what the header alone shows, before a byte of body is kept.
  @inline(__always)
  package static func checkHeader(
    _ header: FrameHeader, direction: FrameDirection
  ) throws(ProtocolViolation) -> FrameKind {
    if let kind = kindOfCommonHeader(header, direction: direction) { return kind }
    return try checkHeaderInFull(header, direction: direction)
  }

  /// The kind of a header that is surely in order, for the four kinds that most frames are; nil where a closer look is
  /// needed.
  @inline(__always)
  package static func kindOfCommonHeader(_ header: FrameHeader, direction: FrameDirection) -> FrameKind? {
    guard header.id != 0, header.partsFit, header.nameBytes <= ProtocolConstants.longestNameBytes,
      header.encoding.isAssigned
    else { return nil }
    let kind: FrameKind
    let isStatusKnown: Bool
    switch (header.kindByte, direction) {
    case (FrameKind.call.rawValue, .toDaemon):
      guard (header.function == 0) != (header.nameBytes == 0) else { return nil }
      (kind, isStatusKnown) = (.call, header.status == .ok)
    case (FrameKind.complete.rawValue, .toDaemon):
      (kind, isStatusKnown) = (.complete, header.status.isAllowedInCompletion)
    case (FrameKind.result.rawValue, .toPeer): (kind, isStatusKnown) = (.result, header.status == .ok)
    case (FrameKind.invoke.rawValue, .toPeer): (kind, isStatusKnown) = (.invoke, header.status == .ok)
    default: return nil
    }
    return isStatusKnown && header.flags.rawValue & ~kind.allowedFlags.rawValue == 0 ? kind : nil
  }

  /// The rules for every header, and what is wrong where one is broken.
  @inline(never)
  package static func checkHeaderInFull(
    _ header: FrameHeader, direction: FrameDirection
  ) throws(ProtocolViolation) -> FrameKind {
    guard let kind = header.kind else { throw violation("unknown kind \(header.kindByte)") }
    guard kind.maySend(direction) else {
      throw violation("\(kind) is not for this side to send")
    }
    guard header.partsFit else { throw partsDoNotFit(header, kind) }
    guard header.nameBytes <= ProtocolConstants.longestNameBytes else {
      throw violation("\(kind) has a name of \(header.nameBytes) bytes, 255 are the most")
    }
    if header.nameBytes == 0, kind.nameRule == .name || kind.nameRule == .nameOrPattern {
      throw violation("\(kind) has no name")
    }
    guard header.flags.rawValue & ~kind.allowedFlags.rawValue == 0 else { throw unknownFlags(header, kind) }
    guard header.encoding.isAssigned else {
      throw violation("\(kind) has the reserved encoding \(header.encoding.rawValue)")
    }
    if header.id == 0, kind.needsID { throw violation("\(kind) has the id 0") }
    switch kind {
    case .call:
      if (header.function == 0) == (header.nameBytes == 0) { throw nameOrHandle(header) }
    case .hello:
      guard header.id == FrameHeader.helloID else {
        throw violation("HELLO does not carry the bytes HOSTCALL as its id")
      }
      guard header.function <= header.aux else {
        throw violation("HELLO says lowest version \(header.function), above its highest, \(header.aux)")
      }
    case .ping, .pong:
      guard header.payloadBytes <= ProtocolConstants.longestPingBytes else {
        throw violation("\(kind) has \(header.payloadBytes) bytes of payload, 64 are the most")
      }
    case .complete:
      guard header.status.isAllowedInCompletion else {
        throw violation("COMPLETE has the status \(header.status), which a worker may not use")
      }
    default: break
    }
    // What a worker may use reaches its caller, the unnamed 9 among them.
    let isStatusKnown =
      header.status.isAssigned || (kind == .result || kind == .complete) && header.status.isAllowedInCompletion
    guard isStatusKnown else { throw violation("\(kind) has the reserved status \(header.status.rawValue)") }
    return kind
  }

  /// Checks name and metadata of a frame whose header is in order and whose body is there.
  package static func checkBody(
    _ body: UnsafeRawBufferPointer, header: FrameHeader, kind: FrameKind, direction: FrameDirection
  ) throws(ProtocolViolation) {
    let nameBytes = Int(header.nameBytes)
    let metadataBytes = Int(header.metadataBytes)
    if nameBytes | metadataBytes == 0, kind.nameRule == .unused || kind.nameRule == .optionalName { return }
    try checkNameAndMetadata(
      UnsafeRawBufferPointer(rebasing: body[..<nameBytes]),
      UnsafeRawBufferPointer(rebasing: body[nameBytes..<(nameBytes + metadataBytes)]), kind, direction)
  }

  static func checkNameAndMetadata(
    _ name: UnsafeRawBufferPointer, _ metadata: UnsafeRawBufferPointer, _ kind: FrameKind, _ direction: FrameDirection
  ) throws(ProtocolViolation) {
    let nameIsRight =
      switch kind.nameRule {
      case .unused: name.isEmpty || NameRules.isName(name) || NameRules.isPattern(name)
      case .name: NameRules.isName(name)
      case .nameOrPattern: NameRules.isName(name) || NameRules.isPattern(name)
      case .optionalName: name.isEmpty || NameRules.isName(name)
      }
    guard nameIsRight else {
      if NameRules.isPattern(name) { throw violation("\(kind) needs a name and has the pattern \(printable(name))") }
      throw violation("\(kind) has the malformed name “\(printable(name))”")
    }
    if !metadata.isEmpty, let reason = MetadataRules.violation(in: metadata, direction: direction) {
      throw violation("\(kind): \(reason)")
    }
  }

  static func violation(_ reason: String) -> ProtocolViolation {
    ProtocolViolation(reason)
  }

  static func partsDoNotFit(_ header: FrameHeader, _ kind: FrameKind) -> ProtocolViolation {
    ProtocolViolation(
      "\(kind) has a body of \(header.bodyBytes) bytes, too small for \(header.nameBytes) bytes of name and "
        + "\(header.metadataBytes) of metadata")
  }

  static func unknownFlags(_ header: FrameHeader, _ kind: FrameKind) -> ProtocolViolation {
    ProtocolViolation("\(kind) has the flag \(header.flags.subtracting(kind.allowedFlags)), which means nothing there")
  }

  static func nameOrHandle(_ header: FrameHeader) -> ProtocolViolation {
    ProtocolViolation("CALL has \(header.function == 0 ? "neither name nor handle" : "both a name and a handle")")
  }

  /// Bytes from outside as text that harms no terminal and no log: at most 64 characters, others than printable ASCII
  /// as `?`.
  package static func printable(_ bytes: UnsafeRawBufferPointer) -> String {
    let text = bytes.prefix(64).map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
    return String(decoding: text, as: UTF8.self) + (bytes.count > 64 ? "…" : "")
  }
}
