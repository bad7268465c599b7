import HostcallWire

/// A frame other than INVOKE that the bridge has to send.
struct ExpectedFrame: CustomStringConvertible {
  enum Text {
    case nothing, sentence
    case exactly([UInt8])
  }

  let peer: Int
  let kind: FrameKind
  let statuses: Set<Status>
  let id: UInt64
  /// RESULT: the call that it answers, nil where it answers none.
  var call: Int?
  var flags: FrameFlags = []
  var encoding = PayloadEncoding.raw
  var metadata: Metadata = [:]
  var text = Text.nothing
  /// RESULT: what `aux` has to be, nil where a handle stands there that was checked.
  var aux: UInt32? = 0
  /// EVENT: what was published.
  var name = ""

  var description: String {
    "\(kind) to peer \(peer), id \(id), \(statuses.map(\.description).sorted().joined(separator: " or "))"
      + (call.map { ", of call \($0)" } ?? "")
  }
}

extension HistoryModel {
  /// Expects a frame, unless the peer is told nothing any more.
  func expect(_ frame: ExpectedFrame) {
    let state = peers[frame.peer].state
    if state != .closing, state != .gone { expected.append(frame) }
  }

  /// The daemon's own outcome of an accepted call.
  func expectResult(of call: Int, _ status: Status) {
    if calls[call].has(.noReply) { return }
    expect(
      ExpectedFrame(
        peer: calls[call].caller, kind: .result, statuses: [status], id: calls[call].request, call: call,
        text: .sentence))
  }

  /// The answer to a request that was not accepted, for one of these reasons.
  func expectRefusal(_ peer: Int, _ request: UInt64, _ statuses: Set<Status>) {
    expect(ExpectedFrame(peer: peer, kind: .result, statuses: statuses, id: request, text: .sentence))
  }

  /// Takes the expectation that a frame meets away.
  func meet(_ sent: SentFrame, peer: Int) throws(HistoryViolation) {
    let frame = sent.frame
    let place = expected.firstIndex { $0.peer == peer && $0.kind == frame.kind && $0.id == frame.id }
    guard let place else { throw HistoryViolation(description: "peer \(peer) got what nobody expected: \(frame)") }
    let wanted = expected.remove(at: place)
    var isRight =
      wanted.statuses.contains(frame.status) && frame.flags == wanted.flags && frame.header.encoding == wanted.encoding
      && frame.metadata == wanted.metadata && frame.name == wanted.name
    switch wanted.text {
    case .nothing: isRight = isRight && frame.payload.isEmpty
    case .sentence: isRight = isRight && !frame.payload.isEmpty
    case .exactly(let payload): isRight = isRight && frame.payload == payload
    }
    isRight = isRight && wanted.aux ?? frame.header.aux == frame.header.aux
    if frame.kind == .result {
      if let call = wanted.call {
        try identify(call, frame.header.call)
      } else {
        isRight = isRight && frame.header.call == 0
      }
    }
    if !isRight { throw HistoryViolation(description: "peer \(peer) got \(frame), and not \(wanted)") }
  }

  /// A frame shows the correlation id of a call.
  func identify(_ call: Int, _ correlation: UInt64) throws(HistoryViolation) {
    if calls[call].correlation == correlation { return }
    if let other = calls[call].correlation {
      throw HistoryViolation(description: "call \(call) had the correlation id \(other) and now \(correlation)")
    }
    guard correlation != 0, byCorrelation[correlation] == nil else {
      throw HistoryViolation(
        description: "the correlation id \(correlation) of call \(call) was issued before, or is 0")
    }
    calls[call].correlation = correlation
    byCorrelation[correlation] = call
  }
}
