import Glibc
import HostcallBridge
import HostcallLoop
import HostcallTestSupport
import Testing

@testable import HostcallServer

/// What one process leaves to the next, beside what the bridge knows.
@Suite struct HandedOverTests {
  private static func fingerprint(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }

  /// Half read and half sent, with open files.
  private static func connection() throws -> [UInt8] {
    let files = try PassedDescriptors(duplicating: [0])
    var state = ConnectionState()
    state.peer = PeerID(slot: 3, generation: 4)
    state.largestBodyBytes = 5
    state.isBacklogged = true
    state.unfinished = ([6, 7], 8)
    state.begunDescriptors = ChargedDescriptors(files)
    state.output.start = 9
    state.output.sentBytes = 10
    state.output.bytes = [11, 12, 13]
    state.output.descriptors = [(9, 12, files)]
    var coder = StateCoder()
    try state.code(&coder)
    #expect(coder.descriptors.count == 2)
    return coder.bytes
  }

  /// Another layout is another version, or a daemon would read what it does not understand.
  @Test func whatIsWrittenIsThatOfTheVersion() throws {
    let envelope = HandedOver(
      state: try Self.connection(), connections: [0],
      passed: [HandedOver.PassedBatch(descriptors: [0, 1], count: 2)],
      listener: HandedOver.Listener(path: "/s", descriptor: 0), stoppedNanoseconds: 14)
    let (bytes, descriptors) = try Parcel.unpack(envelope.pack())
    for descriptor in descriptors { close(descriptor) }
    let found = Self.fingerprint(try HandedOver.envelope.opened(bytes))
    #expect(HandedOver.version == 1)
    #expect(
      found == 10_422_590_620_548_784_003,
      "the layout has changed: let HandedOver.version grow, and write \(found) and the version here")
    #expect(descriptors.count == 4)
  }
}
