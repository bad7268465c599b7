import CLibuv
import Glibc
import Testing

@testable import HostcallLoop

/// A peer can pass a descriptor whose closing takes as long as the peer likes; no loop waits for it.
@Suite("Descriptors that take long to close", .timeLimit(.minutes(1)))
struct LingeringDescriptorsTests {
  /// For how long closing hangs: far longer than the test, which fails if it waits.
  private static let lingerSeconds: Int32 = 40
  private static let patience = Duration.seconds(20)

  /// A TCP socket with unsent data over which closing lingers, and what keeps the data unsent: to be closed first.
  private static func lingering() -> (socket: Int32, others: [Int32]) {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let mine = socket(
      AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    withUnsafeMutableBytes(of: &address) {
      let generic = $0.baseAddress!.assumingMemoryBound(to: sockaddr.self)
      precondition(bind(listener, generic, size) == 0 && listen(listener, 1) == 0)
      precondition(getsockname(listener, generic, &size) == 0 && connect(mine, generic, size) == 0)
    }
    let other = accept(listener, nil, nil)
    var option = linger(l_onoff: 1, l_linger: lingerSeconds)
    setsockopt(mine, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    while sendPlainly(mine, [UInt8](repeating: 1, count: 65_536)) > 0 {}
    return (mine, [other, listener])
  }

  private static func close(_ descriptors: [Int32]) {
    for descriptor in descriptors { Glibc.close(descriptor) }
  }

  // In processes of their own: who starts another one while such a descriptor is under way may have to wait for it.

  @Test("received uninvited, received and dropped, sent out of band, or never read: the loop goes on at once")
  func theLoopGoesOn() async {
    await #expect(processExitsWith: .success) {
      let loop = try EventLoop(threadName: "test")
      for way in ["uninvited", "dropped", "out of band", "unread"] {
        let (mine, peers) = try UnixSocket.pair()
        let (passed, others) = Self.lingering()
        let duration = try await loop.run {
          let start = ContinuousClock.now
          let stream = try SocketStream(loop, descriptor: mine)
          stream.acceptsDescriptors = way == "dropped"
          let flags = way == "out of band" ? Int32(MSG_OOB) : 0
          #expect(send(peers, copies: 1, of: passed, flags: flags) == 1)
          #expect(sendPlainly(peers, [8]) == 1)
          // This process's last reference: what is in the message is all that is left.
          Glibc.close(passed)
          if way != "unread" {
            #expect(SocketStreamTests.read(stream).1 == [7])
            #expect(SocketStreamTests.read(stream).1 == [8])
          }
          stream.close()
          return ContinuousClock.now - start
        }
        #expect(duration < Self.patience, "\(way)")
        Self.close(others + [peers])
      }
      await loop.stop()
    }
  }

  @Test("one that hangs holds up no other")
  func oneHoldsUpNoOther() async {
    await #expect(processExitsWith: .success) {
      let (passed, others) = Self.lingering()
      _ = PassedDescriptors(takingOver: [passed])
      for tag in 0..<20 as Range<UInt64> {
        let number = TaggedFile.open(tag)
        _ = PassedDescriptors(takingOver: [number])
        // A number may be used again at once, but not for a file with this tag.
        #expect(await eventually { TaggedFile.tag(of: number) != tag })
      }
      Self.close(others)
    }
  }

  @Test("a peer that brings descriptors faster than they can be closed is not read from meanwhile, and loses nothing")
  func holdsBackWhoBringsThem() async {
    await #expect(processExitsWith: .success) {
      let loop = try EventLoop(threadName: "test")
      let (mine, peers) = try UnixSocket.pair()
      let before = openDescriptorCount()
      let received = LoopConfined(loop, 0)
      let most = LoopConfined(loop, 0)
      let gate = Gate()
      try await loop.run {
        let stream = try SocketStream(loop, descriptor: mine)
        stream.onReadable = {
          received.value += SocketStreamTests.read(stream).1.count
          most.value = max(most.value, openDescriptorCount())
          if received.value == 100 { gate.open() }
        }
        stream.startReading()
      }
      for _ in 0..<100 {
        // The kernel, too, limits how many are under way, if not root's.
        #expect(await eventually { send(peers, copies: 253, of: STDERR_FILENO) == 1 })
      }
      await gate.wait()
      #expect(try await loop.run { most.value } < before + 3 * 253)
      #expect(await eventually { openDescriptorCount() < before + 20 })
      await loop.stop()
      Glibc.close(peers)
    }
  }
}
