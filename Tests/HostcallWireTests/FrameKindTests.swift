import HostcallWire
import Testing

@Suite("FrameKind and FrameFlags")
struct FrameKindTests {
  /// The table of section 5, the other way round.
  static func allowedFlags(_ kind: FrameKind) -> UInt8 {
    switch kind {
    case .call: 0x01 | 0x04 | 0x08 | 0x10 | 0x20
    case .invoke: 0x01 | 0x08 | 0x10
    case .complete: 0x10
    case .result: 0x10 | 0x40
    case .item: 0x02
    default: 0
    }
  }

  @Test("have the numbers, names and ways of section 4")
  func kinds() {
    let table: [(UInt8, String, String)] = [
      (1, "HELLO", "P>D"), (2, "WELCOME", "D>P"), (3, "GOAWAY", "both"), (4, "PING", "both"), (5, "PONG", "both"),
      (8, "REGISTER", "P>D"), (9, "UNREGISTER", "P>D"), (10, "BIND", "P>D"), (16, "CALL", "P>D"),
      (17, "RESULT", "D>P"), (18, "INVOKE", "D>P"), (19, "COMPLETE", "P>D"), (20, "CANCEL", "both"),
      (21, "REJECTED", "D>P"), (22, "ITEM", "both"), (23, "CREDIT", "both"), (32, "SUBSCRIBE", "P>D"),
      (33, "UNSUBSCRIBE", "P>D"), (34, "PUBLISH", "P>D"), (35, "EVENT", "D>P"),
    ]
    #expect(FrameKind.allCases.count == table.count)
    for (number, name, way) in table {
      let kind = FrameKind(rawValue: number)
      #expect(kind?.description == name)
      #expect(kind?.maySend(.toDaemon) == (way != "D>P"), "\(name)")
      #expect(kind?.maySend(.toPeer) == (way != "P>D"), "\(name)")
    }
  }

  @Test("allow the flags of section 5", arguments: FrameKind.allCases)
  func flags(_ kind: FrameKind) {
    #expect(kind.allowedFlags.rawValue == Self.allowedFlags(kind))
  }

  @Test("name the flags by the bits of section 5")
  func flagNames() {
    let table: [(FrameFlags, UInt8, String)] = [
      (.open, 0x01, "OPEN"), (.last, 0x02, "LAST"), (.noReply, 0x04, "NO_REPLY"), (.idempotent, 0x08, "IDEMPOTENT"),
      (.descriptors, 0x10, "DESCRIPTORS"), (.wait, 0x20, "WAIT"), (.fromWorker, 0x40, "FROM_WORKER"),
    ]
    for (flag, bit, name) in table {
      #expect(flag.rawValue == bit)
      #expect(flag.description == name)
    }
    #expect(FrameFlags([]).description == "")
    #expect(FrameFlags(rawValue: 0xa1).description == "OPEN|WAIT|0x80")
  }

  @Test("answer by RESULT the requests of section 4 and no other kind")
  func answeredByResult() {
    let requests: Set<FrameKind> = [.register, .unregister, .bind, .call, .subscribe, .unsubscribe, .publish]
    #expect(Set(FrameKind.allCases.filter(\.isAnsweredByResult)) == requests)
  }
}
