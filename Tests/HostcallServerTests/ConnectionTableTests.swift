import Glibc
import HostcallLoop
import HostcallWire
import Testing

@testable import HostcallBridge
@testable import HostcallServer

/// Frames find their connection, and a receiver for whom many have come together is told of.
@Suite(.timeLimit(.minutes(1))) struct ConnectionTableTests {
  private static let peer = PeerID(slot: 3, generation: 7)

  /// Runs `body` on the thread of a loop, with a table that has one connection.
  private func withTable<Result: Sendable>(
    _ body: @escaping @Sendable (inout ConnectionTable, SocketStream) throws -> Result
  ) async throws -> Result {
    let loop = try EventLoop(threadName: "test")
    let (mine, peers) = try UnixSocket.pair()
    defer { close(peers) }
    let result = await withCheckedContinuation { continuation in
      loop.execute {
        continuation.resume(
          returning: Swift.Result {
            let stream = try SocketStream(loop, descriptor: mine)
            defer { stream.close() }
            var table = ConnectionTable()
            table.insert(
              Connection(
                peer: Self.peer, stream: stream, credentials: try stream.peerCredentials(), limits: Limits(),
                segments: loop.segmentPool))
            return try body(&table, stream)
          })
      }
    }
    await loop.stop()
    return try result.get()
  }

  /// Appends a frame with a part of `incoming` as its body.
  private static func append(
    to peer: PeerID, _ table: inout ConnectionTable, incoming: [UInt8] = [], start: UInt32 = 0, byteCount: UInt32 = 0,
    prefixBytes: UInt32 = 0
  ) -> ConnectionTable.Outcome {
    var header = FrameHeader(kind: .result, id: 1)
    header.bodyBytes = byteCount
    var frame = OutgoingFrame(
      peer: peer, header: header, prefixStart: 0, prefixBytes: prefixBytes, source: .incoming, sourceStart: start,
      sourceBytes: byteCount, descriptors: .none)
    return incoming.withUnsafeBytes { table.append(&frame, incoming: $0) }
  }

  @Test func manyFramesBeforeAFlushAreToldOf() async throws {
    let outcomes = try await withTable { table, _ in
      let first = (1...130).map { _ in Self.append(to: Self.peer, &table) }
      table.markClean(Self.peer)
      return first + [Self.append(to: Self.peer, &table), Self.append(to: Self.peer, &table)]
    }
    #expect(outcomes[0] == .appendedFirst)
    #expect(outcomes[1..<127].allSatisfy { $0 == .appended })
    #expect(outcomes[127..<130].allSatisfy { $0 == .appendedMany })
    #expect(outcomes[130] == .appendedFirst && outcomes[131] == .appended)
  }

  @Test func aFrameHasItsPartOfTheBody() async throws {
    let bytes = try await withTable { table, stream in
      _ = Self.append(to: Self.peer, &table, incoming: [1, 2, 3, 4, 5], start: 1, byteCount: 3)
      return stream.output.withFrame(endingAt: 35, byteCount: 35) { Array($0.suffix(3)) }
    }
    #expect(bytes == [2, 3, 4])
  }

  @Test func whatIsNotPlainAndWhoIsNotThereAreLeftToOthers() async throws {
    let outcomes = try await withTable { table, _ in
      let strangers = [PeerID(slot: 3, generation: 6), PeerID(slot: 2, generation: 0), PeerID(slot: 99, generation: 7)]
      let outcomes = strangers.map { Self.append(to: $0, &table) }
      let withPrefix = Self.append(to: Self.peer, &table, prefixBytes: 2)
      table.remove(Self.peer)
      table.shrink()
      return outcomes + [Self.append(to: Self.peer, &table), withPrefix]
    }
    #expect(outcomes == [.nobody, .nobody, .nobody, .nobody, .notPlain])
  }

  @Test func theFirstFrameAfterAFlushIsNotedOnce() async throws {
    let noted = try await withTable { table, _ in
      [table.markDirty(Self.peer), table.markDirty(Self.peer), table.markDirty(PeerID(slot: 0, generation: 1))]
    }
    #expect(noted == [true, false, false])
  }
}
