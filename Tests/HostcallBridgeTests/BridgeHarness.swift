import HostcallTestSupport
import HostcallWire
import Testing

@testable import HostcallBridge

/// A bridge, its clock and its peers: frames go in as bytes through a decoder, and come out as the bytes that the shell
/// would write, decoded by the other side's rules.
final class BridgeHarness {
  /// Nanoseconds.
  private(set) var now: UInt64
  var bridge: Bridge
  private(set) var peers: [PeerID: HarnessPeer] = [:]
  /// What was sent since it was last emptied, in order over all peers.
  var sent: [SentFrame] = []
  /// Limits that were met, and connections that were refused, so far.
  private(set) var notices: [LimitNotice] = []
  /// Steps of calls that the bridge has told of.
  private(set) var callNotices: [CallNotice] = []
  private(set) var refusals: [ConnectionRefusal] = []
  /// Bodies of 32 bytes or more are large here, and lie in several pieces.
  let segments = CountingSegments(segmentByteCount: 48, smallestLargeBodyBytes: 32)
  private var actions = ActionBuffer()
  private let limitsByUser: [UInt32: Limits]

  static let instance = "00112233445566778899aabbccddeeff"

  /// Limits under which time alone brings nothing about: nobody is pinged, and no call is taken from its worker. How often
  /// a call is sent again is a matter of `resends` alone.
  static var quiet: Limits {
    var limits = Limits()
    limits.livenessMilliseconds = 0
    limits.abandonedMilliseconds = 0
    limits.workersLostPerCall = 100
    return limits
  }

  init(
    limits: Limits = BridgeHarness.quiet, limitsByUser: [UInt32: Limits] = [:], policy: Policy = Policy(),
    now: UInt64 = 5_000_000_000
  ) {
    self.now = now
    self.limitsByUser = limitsByUser
    bridge = Bridge(
      limits: limits, limitsByUser: limitsByUser, policy: policy,
      identity: DaemonIdentity(server: "hostcalld/test", instance: Self.instance),
      secret: 0x1234_5678_9abc_def1, now: now)
  }

  /// A bridge with a few limits of its own.
  convenience init(_ change: (inout Limits) -> Void) {
    var limits = Self.quiet
    change(&limits)
    self.init(limits: limits)
  }

  var isDrained: Bool { bridge.isDrained }

  // MARK: Facts

  /// A peer that has said HELLO, and whose WELCOME is taken.
  func connect(userID: UInt32 = 1000, groupIDs: [UInt32] = []) -> HarnessPeer {
    guard let peer = connectWithoutHello(userID: userID, groupIDs: groupIDs) else {
      preconditionFailure("one connection is too many")
    }
    peer.hello()
    let welcome = peer.take()
    precondition(welcome?.kind == .welcome, "no WELCOME but \(String(describing: welcome))")
    return peer
  }

  func connectWithoutHello(
    userID: UInt32 = 1000, groupIDs: [UInt32] = [], isLocal: Bool = false
  ) -> HarnessPeer? {
    let identity = PeerIdentity(
      userID: userID, groupID: userID + 1, groupIDs: groupIDs, processID: Int32(truncatingIfNeeded: userID &+ 2))
    let id: PeerID
    do throws(ConnectionRefusal) {
      id = try bridge.peerConnected(identity, isLocal: isLocal, client: isLocal ? "local" : "", now: now)
    } catch {
      refusals.append(error)
      return nil
    }
    let peer = HarnessPeer(id: id, harness: self, largestBodyBytes: UInt32(bridge.limits.frameBytes))
    peers[id] = peer
    return peer
  }

  /// Time goes on and nobody tells the bridge.
  func pass(nanoseconds: UInt64) {
    now += nanoseconds
  }

  func pass(milliseconds: UInt64) {
    now += milliseconds * 1_000_000
  }

  /// Time goes on, and the bridge is told whenever it wants to be and in the end.
  func advance(milliseconds: UInt64) {
    let target = now + milliseconds * 1_000_000
    while let wake = bridge.nextWakeMilliseconds(), wake * 1_000_000 <= target {
      now = max(now, wake * 1_000_000)
      hitTime()
    }
    now = target
    hitTime()
  }

  func hitTime() {
    fact { $0.hitTime(now: now, into: &$1) }
  }

  /// All but so many of the bytes sent to a peer have left.
  func hasTaken(_ peer: HarnessPeer, allBut unsentBytes: UInt64) {
    let sentBytes = bridge.peers[peer.id.slot].outputPosition - unsentBytes
    fact { $0.peerHasTaken(peer.id, sentBytes: sentBytes, now: now, into: &$1) }
  }

  @discardableResult
  func setPolicy(_ policy: Policy) -> PolicyChange {
    var change = PolicyChange(slept: 0, woken: 0)
    fact { change = $0.setPolicy(policy, now: now, into: &$1) }
    return change
  }

  /// Writes the state of the bridge, and reads it into another one, which goes on from here.
  func handOver() throws {
    var writer = StateCoder()
    try bridge.code(&writer)
    var reader = StateCoder(reading: writer.bytes, descriptors: writer.descriptors)
    let policy = bridge.policies.policy
    var heir = Bridge(
      limits: bridge.limits, limitsByUser: limitsByUser,
      identity: DaemonIdentity(server: "hostcalld/heir", instance: "another"), secret: 0xfedc_ba98_7654_3211, now: now)
    try heir.code(&reader)
    guard reader.isAtEnd else { throw StateError("something is left") }
    bridge = heir
    setPolicy(policy)
  }

  func stop(graceMilliseconds: UInt32) {
    fact { $0.stop(graceMilliseconds: graceMilliseconds, now: now, into: &$1) }
  }

  func received(_ frame: DecodedFrame, from peer: HarnessPeer) {
    bridge.received(frame, from: peer.id, now: now, into: &actions)
    perform(incoming: frame.body, large: frame.large)
  }

  func gone(_ peer: HarnessPeer, sentBytes: Int) {
    peer.stream.withUnsafeBytes { stream in
      bridge.peerIsGone(peer.id, sentBytes: UInt64(sentBytes), now: now, into: &actions) { end, byteCount in
        #expect(end > UInt64(sentBytes) && end <= UInt64(stream.count), "a frame is asked for that is not waiting")
        let frame = UnsafeRawBufferPointer(rebasing: stream[(Int(end) - byteCount)..<Int(end)])
        let header = FrameHeader(loading: frame.baseAddress!)
        #expect(header.kind == .invoke && header.frameBytes == byteCount, "no INVOKE lies where one is asked for")
        return peer.owners[Int(end)].map { UnsentFrame(endOf: $0) } ?? UnsentFrame(bytes: frame)
      }
    }
    peers[peer.id] = nil
    perform(incoming: UnsafeRawBufferPointer(start: nil, count: 0))
  }

  /// States a fact and carries out what follows.
  func fact(_ state: (inout Bridge, inout ActionBuffer) -> Void) {
    state(&bridge, &actions)
    perform(incoming: UnsafeRawBufferPointer(start: nil, count: 0))
  }

  // MARK: Actions

  private func perform(incoming: UnsafeRawBufferPointer, large: LargeBody? = nil) {
    for frame in actions.frames {
      guard let peer = peers[frame.peer] else { continue }
      if let (large, start) = actions.large(of: frame, incoming: large) {
        let rest = large.runs(from: start, byteCount: Int(frame.sourceBytes)).flatMap { Array($0) }
        actions.withPrefix(of: frame) { prefix in
          let received = rest.withUnsafeBytes { peer.append(frame.header, prefix, $0) }
          sent.append(SentFrame(peer: peer.id, frame: received, end: peer.stream.count))
        }
        peer.owners[peer.stream.count] = large
        continue
      }
      actions.withParts(of: frame, incoming: incoming) { prefix, rest in
        let received = peer.append(frame.header, prefix, rest)
        sent.append(SentFrame(peer: peer.id, frame: received, end: peer.stream.count))
      }
    }
    for peer in actions.closings { peers[peer]?.isClosed = true }
    notices += actions.limitsMet
    callNotices += actions.callNotices
    actions.removeAll()
  }
}
