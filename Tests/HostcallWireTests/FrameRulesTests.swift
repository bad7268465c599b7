import HostcallTestSupport
import HostcallWire
import Testing

@Suite("FrameRules")
struct FrameRulesTests {
  static let directions: [FrameDirection] = [.toDaemon, .toPeer]

  @Test("accept each kind from the side that may send it and refuse it from the other", arguments: FrameKind.allCases)
  func kindHasItsSide(_ kind: FrameKind) {
    for direction in Self.directions {
      let reason = Feeder.refusal(Bytes.frame(kind), direction)
      #expect((reason == nil) == kind.maySend(direction), "\(direction): \(reason ?? "accepted")")
      if !kind.maySend(direction) { #expect(reason == "\(kind) is not for this side to send") }
    }
  }

  @Test("say of common headers, by a shorter way, what they say of every header")
  func shortWayAgreesWithTheLongOne() {
    var generator = SeededGenerator(announcedFor: "shortWayAgreesWithTheLongOne")
    let kinds: [FrameKind] = [.call, .complete, .result, .invoke]
    var taken = 0
    for _ in 0..<200_000 {
      let few = { (values: [UInt8]) in
        Bool.random(using: &generator) ? values[0] : values.randomElement(using: &generator)!
      }
      var header = FrameHeader(
        kind: kinds.randomElement(using: &generator)!,
        flags: FrameFlags(rawValue: few([0, 1, 8, 16, 0x3d, 64, 128, 255])),
        encoding: PayloadEncoding(rawValue: few([0, 1, 2, 3, 127, 128])),
        status: Status(rawValue: few([0, 9, 10, 11, 12, 26, 99, 100, 128])), id: UInt64(few([7, 0])),
        function: UInt32(few([0, 5])), timeoutMilliseconds: UInt32(few([0, 5])), aux: UInt32(few([0, 5])))
      header.nameBytes = UInt16.random(in: 0...300, using: &generator)
      if Bool.random(using: &generator) { header.nameBytes = 0 }
      header.metadataBytes = UInt16(few([0, 9]))
      header.bodyBytes = UInt32.random(in: 0...400, using: &generator)
      for direction in Self.directions {
        guard let kind = FrameRules.kindOfCommonHeader(header, direction: direction) else { continue }
        taken += 1
        #expect((try? FrameRules.checkHeaderInFull(header, direction: direction)) == kind, "\(header)")
      }
    }
    #expect(taken > 1_000)
  }

  @Test("refuse every byte that is no kind")
  func unknownKinds() {
    let known = Set(FrameKind.allCases.map(\.rawValue))
    for byte in UInt8.min ... .max where !known.contains(byte) {
      for direction in Self.directions {
        #expect(Feeder.refusal(Bytes.frame(kind: byte), direction) == "unknown kind \(byte)")
      }
    }
  }

  @Test(
    "take of all 256 values of flags those whose every bit has a meaning for the kind", arguments: FrameKind.allCases)
  func flagsByKind(_ kind: FrameKind) {
    for direction in Self.directions where kind.maySend(direction) {
      for flags in UInt8.min ... .max {
        let isAllowed = flags & ~FrameKindTests.allowedFlags(kind) == 0
        #expect((Feeder.refusal(Bytes.frame(kind, flags: flags), direction) == nil) == isAllowed, "\(flags)")
      }
    }
  }

  @Test("refuse the reserved encodings 3 to 127, whatever the kind", arguments: FrameKind.allCases)
  func reservedEncodings(_ kind: FrameKind) {
    for direction in Self.directions where kind.maySend(direction) {
      for encoding in UInt8.min ... .max {
        let isReserved = (3...127).contains(encoding)
        #expect((Feeder.refusal(Bytes.frame(kind, encoding: encoding), direction) != nil) == isReserved, "\(encoding)")
      }
    }
  }

  @Test("refuse reserved statuses, whatever the kind", arguments: FrameKind.allCases)
  func reservedStatuses(_ kind: FrameKind) {
    for direction in Self.directions where kind.maySend(direction) {
      for status in UInt8.min ... .max {
        let isAllowed: Bool =
          switch (kind, status) {
          case (.complete, 0...11), (.complete, 99), (.complete, 128...): true
          case (.complete, _): false
          // What a worker may use reaches the caller: 9 has no name, but section 4 lets workers use 1 to 9.
          case (.result, 9): true
          default: status != 9 && status <= 25 || status == 99 || status >= 128
          }
        let reason = Feeder.refusal(Bytes.frame(kind, status: status), direction)
        #expect((reason == nil) == isAllowed, "\(status): \(reason ?? "accepted")")
      }
    }
  }

  @Test("pass on in RESULT each status that they allow in COMPLETE")
  func completionsReachTheCaller() {
    for status in UInt8.min ... .max where Feeder.refusal(Bytes.frame(.complete, status: status)) == nil {
      #expect(Feeder.refusal(Bytes.frame(.result, flags: 0x40, status: status), .toPeer) == nil, "\(status)")
    }
  }

  @Test("refuse the id 0 where the kind needs one", arguments: FrameKind.allCases)
  func zeroID(_ kind: FrameKind) {
    for direction in Self.directions where kind.maySend(direction) {
      let mayBeZero = [.goaway, .ping, .pong, .publish].contains(kind)
      #expect((Feeder.refusal(Bytes.frame(kind, id: 0), direction) == nil) == mayBeZero)
    }
  }

  @Test("take only HOSTCALL as the id of HELLO, and no lowest version above the highest")
  func hello() {
    let hello = FrameKind.hello.rawValue
    for (lowest, highest) in [(0, 0), (1, 1), (1, UInt32.max), (.max, .max)] as [(UInt32, UInt32)] {
      let frame = Bytes.frame(kind: hello, id: FrameHeader.helloID, function: lowest, aux: highest)
      #expect(Feeder.refusal(frame) == nil)
    }
    for (lowest, highest) in [(1, 0), (2, 1), (.max, .max - 1)] as [(UInt32, UInt32)] {
      let frame = Bytes.frame(kind: hello, id: FrameHeader.helloID, function: lowest, aux: highest)
      #expect(Feeder.refusal(frame)?.contains("above its highest") == true)
    }
    for bit in 0..<64 as Range<UInt64> {
      #expect(Feeder.refusal(Bytes.frame(kind: hello, id: FrameHeader.helloID ^ 1 << bit)) != nil)
    }
  }

  @Test("take 64 bytes of payload in PING and PONG, not 65")
  func pingPayload() {
    for kind in [FrameKind.ping, .pong] {
      for direction in Self.directions {
        for count in [0, 1, 63, 64, 65, 66] {
          let frame = Bytes.frame(kind, payload: Array(repeating: 1, count: count))
          #expect((Feeder.refusal(frame, direction) == nil) == (count <= 64), "\(kind) \(count)")
        }
      }
    }
  }

  @Test("want in CALL a name or a handle, not both and not neither")
  func nameOrHandle() {
    let call = FrameKind.call.rawValue
    #expect(Feeder.refusal(Bytes.frame(kind: call, function: 1)) == nil)
    #expect(Feeder.refusal(Bytes.frame(kind: call, name: [97])) == nil)
    #expect(Feeder.refusal(Bytes.frame(kind: call)) == "CALL has neither name nor handle")
    #expect(Feeder.refusal(Bytes.frame(kind: call, function: 1, name: [97])) == "CALL has both a name and a handle")
  }

  @Test("want a name, a pattern or nothing, by kind", arguments: FrameKind.allCases)
  func namesByKind(_ kind: FrameKind) {
    for direction in Self.directions where kind.maySend(direction) {
      let takesPattern: Bool
      let takesNothing: Bool
      switch kind {
      case .register, .subscribe, .unsubscribe: (takesPattern, takesNothing) = (true, false)
      case .bind, .publish, .event, .call: (takesPattern, takesNothing) = (false, false)
      case .invoke: (takesPattern, takesNothing) = (false, true)
      default: (takesPattern, takesNothing) = (true, true)
      }
      func isTaken(_ name: String) -> Bool { Feeder.refusal(Bytes.frame(kind, name: name), direction) == nil }
      #expect(isTaken("") == takesNothing)
      #expect(isTaken("a.b"))
      #expect(isTaken(String(repeating: "a", count: 255)))
      #expect(!isTaken(String(repeating: "a", count: 256)))
      for pattern in ["*", "a.*"] { #expect(isTaken(pattern) == takesPattern, "\(pattern)") }
      for malformed in [".", "a.", ".a", "a..b", "a b", "a*", "**", "é", "a\0"] {
        #expect(!isTaken(malformed), "\(malformed)")
      }
    }
  }

  @Test("refuse malformed metadata, whatever the kind", arguments: FrameKind.allCases)
  func metadataByKind(_ kind: FrameKind) {
    for direction in Self.directions where kind.maySend(direction) {
      func isTaken(_ metadata: [UInt8]) -> Bool {
        Feeder.refusal(Bytes.frame(kind, metadata: metadata), direction) == nil
      }
      #expect(isTaken(Bytes.entry("k", "v")))
      #expect(!isTaken(Bytes.entry("K", "v")))
      #expect(!isTaken([1]))
      #expect(isTaken(Bytes.entry("hostcall-caller-uid", "0")) == (direction == .toPeer))
    }
  }

  @Test("tell reasons that harm no terminal, whatever the name is")
  func reasonsArePrintable() throws {
    let reason = try #require(
      Feeder.refusal(Bytes.frame(.bind, name: "a\u{1b}[31m\n\0é" + String(repeating: "b", count: 99))))
    #expect(reason.hasPrefix("BIND has the malformed name “a?[31m????bbb") && reason.hasSuffix("b…”"))
    #expect(Feeder.refusal(Bytes.frame(.bind, name: "a.*")) == "BIND needs a name and has the pattern a.*")
    #expect(lend(Array(repeating: 0x61, count: 64)) { FrameRules.printable($0) } == String(repeating: "a", count: 64))
    #expect(lend([]) { FrameRules.printable($0) } == "")
  }
}
