import HostcallBridge
import Testing

@testable import HostcallServer

/// Whoever has a lot to say is read in small pieces beside somebody who wants little, and in large ones otherwise.
@Suite struct TurnShareTests {
  private let busy = PeerID(slot: 1, generation: 1)
  private let modest = PeerID(slot: 2, generation: 2)
  private var share = TurnShare()
  private var shareOfModest = TurnShare()
  private var last = TurnShare.Modest()

  @Test func aloneItIsReadInTheLargestPieces() {
    #expect(share.bytes(for: busy, beside: last, now: 0) == TurnShare.mostBytes)
  }

  @Test mutating func besideSomebodyWhoWantsLittleThePiecesFitTheTime() {
    // A byte takes 10 nanoseconds.
    share.took(100_000, of: busy, from: 0, to: 1_000_000, &last)
    #expect(last.peer == .nobody)
    shareOfModest.took(96, of: modest, from: 1_000_000, to: 1_001_000, &last)
    #expect(last.peer == modest)
    let bytes = share.bytes(for: busy, beside: last, now: 1_001_000)
    #expect(bytes == Int(TurnShare.nanosecondsBesideOthers) / 10)
  }

  @Test mutating func piecesHaveASmallestAndALargestSize() {
    shareOfModest.took(96, of: modest, from: 0, to: 1_000, &last)
    share.took(1_000, of: busy, from: 1_000, to: 900_000_000, &last)
    #expect(share.bytes(for: busy, beside: last, now: 1_500) == TurnShare.fewestBytes)
    share.took(200_000, of: busy, from: 1_000, to: 2_000, &last)
    #expect(share.bytes(for: busy, beside: last, now: 2_000) == TurnShare.mostBytesBesideOthers)
  }

  @Test mutating func whoWantedLittleIsForgottenAfterAWhile() {
    shareOfModest.took(96, of: modest, from: 0, to: 1_000, &last)
    let later = 1_000 + TurnShare.nanosecondsRemembered
    #expect(share.bytes(for: busy, beside: last, now: later) < TurnShare.mostBytes)
    #expect(share.bytes(for: busy, beside: last, now: later + 1) == TurnShare.mostBytes)
  }

  @Test mutating func nobodyIsHeldBackForItsOwnSake() {
    shareOfModest.took(96, of: modest, from: 0, to: 1_000, &last)
    #expect(shareOfModest.bytes(for: modest, beside: last, now: 1_000) == TurnShare.mostBytes)
  }
}
