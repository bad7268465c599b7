import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// A real daemon that can open no more descriptors.
@Suite("hostcalld and a shortage of descriptors")
struct DaemonShortageTests {
  private let file = UnnamedFile("passed")

  private func peer(_ daemon: DaemonProcess) throws -> RawPeer {
    try RawPeer(daemon.socketPath, features: ["descriptors"])
  }

  private func call(
    _ peer: RawPeer, _ name: String, request: UInt64, flags: FrameFlags = [], files count: Int
  ) throws {
    try peer.send(
      FrameHeader(kind: .call, flags: flags, id: request), name: name,
      descriptors: Array(repeating: file.descriptor, count: count))
  }

  /// Calls with open files, which come to the worker and back, and leaves nothing open in the daemon.
  private func exchange(
    _ caller: RawPeer, _ worker: RawPeer, request: UInt64, files count: Int, _ daemon: DaemonProcess, before: Int
  ) throws {
    try call(caller, "swap", request: request, files: count)
    let invoke = try worker.expect(.invoke)
    let taken = take(count, from: worker)
    // It closes its own a moment after they have left, and until then there is no room for them once more.
    try eventually("nothing stays open") { daemon.openDescriptors == before }
    try worker.send(FrameHeader(kind: .complete, id: invoke.header.id), descriptors: taken)
    for descriptor in taken { close(descriptor) }
    let result = try caller.expect(.result)
    #expect(result.header.id == request && result.header.status == .ok, "\(result.text)")
    for descriptor in take(count, from: caller) { close(descriptor) }
    try eventually("nothing stays open") { daemon.openDescriptors == before }
  }

  /// What has come to a peer, which is this file so many times.
  private func take(_ count: Int, from peer: RawPeer) -> [Int32] {
    let taken = peer.takeDescriptors()
    #expect(taken.map { UnnamedFile.text(of: $0) } == Array(repeating: "passed", count: count))
    return taken
  }

  private func expectOverloaded(_ caller: RawPeer, request: UInt64) throws {
    let result = try caller.expect(.result)
    #expect(result.header.id == request && result.header.status == .overloaded)
    #expect(result.text.contains("the daemon has no descriptors left for open files"), "\(result.text)")
  }

  // MARK: Connections

  private func echo(_ peer: RawPeer, request: UInt64) throws {
    try peer.call("hostcall.echo", request: request, payload: [7])
    let result = try peer.expect(.result)
    #expect(result.header.id == request && result.payload == [7])
  }

  private func hasSomethingToRead(_ peer: RawPeer) -> Bool {
    var polled = pollfd(fd: peer.descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&polled, 1, 0) > 0
  }

  @Test func connectionsBeyondTheLimitWaitWhileOthersGoOn() throws {
    let daemon = try DaemonProcess()
    let witness = try RawPeer(daemon.socketPath)
    let before = try descriptorsInPeace(of: daemon, peers: 1, witness)
    try daemon.leaveRoom(forDescriptors: 3)
    var served = try (0..<3).map { _ in try RawPeer(daemon.socketPath) }
    let waiting = try (0..<5).map { _ in try RawPeer(daemon.socketPath, hello: false) }
    for peer in waiting { try peer.send(Greeting.hello(client: "late/1")) }
    try eventually("the log tells of it") { daemon.standardError().contains("cannot accept connections") }
    for request in 1...100 as ClosedRange<UInt64> {
      for peer in served + [witness] { try echo(peer, request: request) }
    }
    #expect(!waiting.contains(where: hasSomethingToRead))
    // Each that leaves makes room for the one that has waited longest.
    for peer in waiting {
      served.removeFirst().close()
      try peer.expect(.welcome)
      try echo(peer, request: 1)
      served.append(peer)
    }
    for peer in served { peer.close() }
    try eventually("all is closed") { daemon.openDescriptors == before }
    #expect(daemon.stop() == 0)
  }

  @Test func howOftenSomebodyIsNotAcceptedDoesNotFillTheLog() throws {
    let daemon = try DaemonProcess()
    let witness = try RawPeer(daemon.socketPath)
    _ = try descriptorsInPeace(of: daemon, peers: 1, witness)
    try daemon.leaveRoom(forDescriptors: 1)
    // Each takes the place of the one before it, and meets the limit first.
    var served = try RawPeer(daemon.socketPath)
    for _ in 1...100 {
      let next = try RawPeer(daemon.socketPath, hello: false)
      try next.send(Greeting.hello(client: "next/1"))
      try served.barrier()
      served.close()
      try next.expect(.welcome)
      served = next
    }
    #expect(daemon.stop() == 0)
    let lines = daemon.standardError().split(separator: "\n").filter { $0.contains("cannot accept connections") }
    #expect(lines.count <= 2 && lines.first?.contains("raise the limit on open files") == true, "\(lines.count) lines")
  }

  // MARK: Open files

  @Test func aCallWhoseFilesFindNoRoomIsOverloadedAndLaterOnesPass() throws {
    let daemon = try DaemonProcess()
    let (worker, caller) = (try peer(daemon), try peer(daemon))
    try worker.register("swap")
    let before = try descriptorsInPeace(of: daemon, peers: 2, caller)
    for room in 0...3 {
      try daemon.leaveRoom(forDescriptors: room)
      for request in 1...20 as ClosedRange<UInt64> {
        try call(caller, "swap", request: request, files: room + 1)
        try expectOverloaded(caller, request: request)
        // What did come of them is closed.
        try eventually("nothing stays open") { daemon.openDescriptors == before }
        guard room > 0 else { continue }
        try exchange(caller, worker, request: 100 + request, files: room, daemon, before: before)
      }
    }
    try daemon.leaveRoom(forDescriptors: 100)
    try exchange(caller, worker, request: 1_000, files: ProtocolConstants.mostDescriptors, daemon, before: before)
    #expect(daemon.stop() == 0)
  }

  @Test func filesThatWaitTakeRoomUntilTheirCallEnds() throws {
    let daemon = try DaemonProcess()
    let (worker, caller) = (try peer(daemon), try peer(daemon))
    try worker.register("swap")
    let before = try descriptorsInPeace(of: daemon, peers: 2, caller)
    try daemon.leaveRoom(forDescriptors: 2)
    try call(caller, "later", request: 1, flags: .wait, files: 2)
    try call(caller, "swap", request: 2, files: 1)
    try expectOverloaded(caller, request: 2)
    // Nobody needs a descriptor for a call without files.
    try echo(caller, request: 3)
    try caller.send(FrameHeader(kind: .cancel, id: 1))
    #expect(try caller.expect(.result).header.status == .cancelled)
    try eventually("nothing stays open") { daemon.openDescriptors == before }
    try exchange(caller, worker, request: 4, files: 2, daemon, before: before)
  }

  @Test func aResultWhoseFilesFindNoRoomEndsItsCall() throws {
    let daemon = try DaemonProcess()
    let (worker, caller) = (try peer(daemon), try peer(daemon))
    try worker.register("swap")
    let before = try descriptorsInPeace(of: daemon, peers: 2, caller)
    try daemon.leaveRoom(forDescriptors: 1)
    for request in 1...20 as ClosedRange<UInt64> {
      try call(caller, "swap", request: request, files: 1)
      let invoke = try worker.expect(.invoke)
      let taken = worker.takeDescriptors()
      try worker.send(FrameHeader(kind: .complete, id: invoke.header.id), descriptors: taken + taken)
      for descriptor in taken { close(descriptor) }
      let result = try caller.expect(.result)
      #expect(result.header.id == request && result.header.status == .unknown)
      #expect(result.text.contains("the daemon has no descriptors left for them") && caller.takeDescriptors().isEmpty)
      try eventually("nothing stays open") { daemon.openDescriptors == before }
    }
    try exchange(caller, worker, request: 30, files: 1, daemon, before: before)
  }

  /// How many descriptors the daemon has when only so many peers are there.
  private func descriptorsInPeace(of daemon: DaemonProcess, peers: Int, _ witness: RawPeer) throws -> Int {
    // The daemon itself counts as two.
    try eventually("the connection is gone that saw that the daemon is there") {
      try witness.call("hostcall.stats", request: 0x5747)
      return try JSONDecoder().decode(StatsReport.self, from: Data(witness.expect(.result).payload)).peers == 2 + peers
    }
    return daemon.openDescriptors
  }
}
