import Glibc
import HostcallTestSupport
import HostcallWire

/// The program that floods a daemon: another user where it may be, and less urgent than all others, since it is the
/// daemon that should withstand it and not the scheduler.
///
/// It writes a line to standard output when the flood stands, goes on asking for more, and is killed.
package struct Flooder {
  /// Who it becomes where it is root: somebody without rights, and for the flood of limits another one, whose limits are
  /// low.
  static func userID(_ kind: FloodKind) -> uid_t { kind == .limits ? 65_533 : 65_534 }
  /// SCHED_IDLE of sched(7), which the C library declares only as an extension: runs where nobody else wants to.
  private static let idlePolicy: CInt = 5
  /// How long it waits between two things that it asks for while the flood stands, in microseconds.
  private static let pause: useconds_t = 1_000

  private let socketPath: String
  private let kind: FloodKind
  private let count: Int

  package init(socketPath: String, kind: FloodKind, count: Int) {
    self.socketPath = socketPath
    self.kind = kind
    self.count = count
  }

  package func run() throws -> Never {
    signal(SIGPIPE, SIG_IGN)
    var priority = sched_param()
    sched_setscheduler(0, Self.idlePolicy, &priority)
    Bystander.raiseDescriptorLimit()
    let user = Self.userID(kind)
    if getuid() == 0, setgid(user) != 0 || setuid(user) != 0 {
      throw SoakFailure("cannot become user \(user): \(String(cString: strerror(errno)))")
    }
    switch kind {
    case .connections: try holdConnections()
    case .halfHeaders: try dripHalfHeaders()
    case .registrations: try holdRegistrations()
    case .deafCaller: try callWithoutReading()
    case .limits: try holdEverything()
    }
  }

  /// Tells who watches that all is there.
  private func stand() {
    print("stands")
    fflush(nil)
  }

  // MARK: Floods

  private func holdConnections() throws -> Never {
    var peers: [RawPeer] = []
    while peers.count < count { peers.append(try patiently { try RawPeer(socketPath) }) }
    stand()
    // One goes and another comes.
    while true {
      peers.removeFirst()
      peers.append(try patiently { try RawPeer(socketPath) })
      usleep(Self.pause)
    }
  }

  private func dripHalfHeaders() throws -> Never {
    let greeting = Greeting.hello(client: "slow/1", features: [])
    // The whole greeting is never sent, however long it takes.
    let most = FrameHeader.byteCount - 1
    var peers: [(peer: RawPeer, sent: Int)] = []
    while peers.count < count {
      let peer = try patiently { try RawPeer(socketPath, hello: false) }
      try? peer.send(Array(greeting[..<(most / 2)]))
      peers.append((peer, most / 2))
    }
    stand()
    var index = 0
    while true {
      index = (index + 1) % peers.count
      if peers[index].sent < most, (try? peers[index].peer.send([greeting[peers[index].sent]])) != nil {
        peers[index].sent += 1
      } else if peers[index].peer.hasEnded {
        // It took too long, and comes again.
        peers[index] = (try patiently { try RawPeer(socketPath, hello: false) }, 0)
      }
      usleep(Self.pause)
    }
  }

  private func holdRegistrations() throws -> Never {
    let peer = try RawPeer(socketPath)
    var handles: [UInt32] = []
    let together = 500
    for start in stride(from: 0, to: count, by: together) {
      let end = min(start + together, count)
      var frames: [UInt8] = []
      for number in start..<end {
        FrameEncoder.append(
          FrameHeader(kind: .register, id: UInt64(number) + 1), name: "flood.function-\(number)", metadata: [:],
          payload: [], to: &frames)
      }
      try peer.send(frames)
      for _ in start..<end { handles.append(try peer.expect(.result).header.aux) }
    }
    stand()
    // One goes and another comes.
    var number = 0
    while true {
      try peer.send(FrameHeader(kind: .unregister, id: 1, function: handles[number]))
      try peer.expect(.result)
      handles[number] = try peer.register("flood.function-\(number)")
      number = (number + 1) % count
      usleep(Self.pause)
    }
  }

  private func callWithoutReading() throws -> Never {
    var saidSo = false
    while true {
      // Its own function answers, so that it is in nobody's way but the daemon's.
      let worker = try Bystander.startWorker(socketPath, name: "flood.echo")
      let peer = try patiently { try RawPeer(socketPath) }
      peer.limitSending(milliseconds: 200)
      let payload = [UInt8](repeating: 7, count: 4_096)
      for number in 0..<count {
        // It fails when the daemon has stopped reading, or has had enough.
        do { try peer.call("flood.echo", request: UInt64(number) + 1, payload: payload) } catch { break }
      }
      if !saidSo { stand() }
      saidSo = true
      let waited = ContinuousClock.now + .milliseconds(500)
      while !peer.hasEnded, ContinuousClock.now < waited { usleep(Self.pause) }
      peer.close()
      worker.hangUp()
    }
  }

  /// Asks for each thing until it is refused, and then again and again.
  private func holdEverything() throws -> Never {
    var holders: [RawPeer] = []
    let peer = try RawPeer(socketPath)
    try peer.register("flood.never", concurrency: 65_535)
    try peer.register("flood.busy", concurrency: 1)
    var request: UInt64 = 1
    var refusals: Set<String> = []
    func ask(_ what: String, _ kind: FrameKind, name: String) throws {
      request += 1
      try peer.send(FrameHeader(kind: kind, id: request), name: name)
      // A call that is taken is not answered: nobody completes it.
      if kind == .call { try peer.send(FrameHeader(kind: .ping, id: request)) }
      while true {
        guard let frame = try peer.next() else { throw SoakFailure("the daemon has closed the connection") }
        switch frame.kind {
        case .pong where kind == .call: return
        case .result where frame.header.id == request:
          if frame.header.status == .overloaded {
            refusals.insert(what)
          } else if frame.header.status != .ok {
            throw SoakFailure("\(what): \(frame.header.status): \(frame.text)")
          }
          if kind != .call { return }
        default: break
        }
      }
    }
    var saidSo = false
    while true {
      try ask("calls", .call, name: "flood.never")
      try ask("queued calls", .call, name: "flood.busy")
      try ask("registrations", .register, name: "flood.function-\(request)")
      try ask("bound handles", .bind, name: "flood.bound-\(request)")
      try ask("subscriptions", .subscribe, name: "flood.topic-\(request).*")
      if let holder = try? RawPeer(socketPath) { holders.append(holder) } else { refusals.insert("connections") }
      if refusals.count == 6, !saidSo {
        stand()
        saidSo = true
      }
      if saidSo { usleep(Self.pause) }
    }
  }

  /// Again and again where the daemon refuses for now, such as more connections than a user may open in a second.
  private func patiently<Result>(_ act: () throws -> Result) throws -> Result {
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      do {
        return try act()
      } catch {
        guard ContinuousClock.now < deadline else { throw error }
        usleep(Self.pause)
      }
    }
  }
}
