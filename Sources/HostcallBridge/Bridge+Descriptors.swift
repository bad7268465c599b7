import HostcallWire

/// Open files that travel with a frame (protocol section 4, *Descriptors*).
extension Bridge {
  static let noDescriptors = "the call has open files, and its worker takes none (feature descriptors)"

  /// Whether the frame has as many descriptors as it says. Where not, the peer has broken the protocol.
  mutating func checkDescriptors(
    _ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, from slot: Slot, into actions: inout ActionBuffer
  ) -> Bool {
    guard frame.header.flags.has(.descriptors) else {
      if descriptors == nil { return true }
      violate(slot, "\(frame.kind) came with descriptors and without the flag DESCRIPTORS", into: &actions)
      return false
    }
    guard peers[slot].takesDescriptors else {
      violate(slot, "\(frame.kind) has the flag DESCRIPTORS, and the feature was not agreed upon", into: &actions)
      return false
    }
    // Of a frame that is too large nothing is passed on, and nothing can be looked at.
    if frame.isTooLarge { return true }
    let said = Self.saidDescriptors(frame)
    guard let said, (1...ProtocolConstants.mostDescriptors).contains(said) else {
      violate(
        slot, "\(frame.kind) has the flag DESCRIPTORS, and its metadata no number of them from 1 to 16", into: &actions)
      return false
    }
    guard let descriptors, descriptors.count == said || descriptors.problem == .outOfDescriptors else {
      violate(
        slot, "\(frame.kind) says that it has \(said) descriptors, and \(descriptors?.count ?? 0) came", into: &actions)
      return false
    }
    return true
  }

  /// The number in the metadata key `descriptors`.
  private static func saidDescriptors(_ frame: DecodedFrame) -> Int? {
    var reader = MetadataReader(frame.metadata)
    while let (key, value) = reader.next() {
      if key.elementsEqual("descriptors".utf8) { return Int(FrameRules.printable(value)) }
    }
    return nil
  }

  /// Why a call cannot be accepted with its descriptors; nil where it can.
  mutating func refusesDescriptors(
    _ header: FrameHeader, _ descriptors: (any FrameDescriptors)?, from slot: Slot, _ title: String,
    into actions: inout ActionBuffer
  ) -> Bool {
    switch descriptors?.problem {
    case nil: return false
    case .outOfDescriptors:
      refuse(
        header, to: slot, .overloaded, "\(title): the daemon has no descriptors left for open files", into: &actions)
    case .overQuota(let limit):
      refuse(
        header, to: slot, meeting: "descriptors-per-user", of: limit,
        "\(title): this user has \(limit) open files on their way, the most it may have", into: &actions)
    }
    return true
  }

  /// A completion whose descriptors cannot be passed on ends its call all the same; nil where they can.
  func problemOfResult(_ frame: DecodedFrame, _ descriptors: (any FrameDescriptors)?, of call: Call) -> String? {
    guard frame.header.flags.has(.descriptors), !call.pointee.flags.has(.noReply) else { return nil }
    if !peers[call.pointee.caller.slot].takesDescriptors {
      return "its result has open files, and this connection takes none (feature descriptors)"
    }
    switch descriptors?.problem {
    case nil: return nil
    case .outOfDescriptors: return "its result has open files, and the daemon has no descriptors left for them"
    case .overQuota(let limit):
      return "its result has open files, and its worker's user has \(limit) on their way, the most it may have "
        + "(descriptors-per-user)"
    }
  }
}
