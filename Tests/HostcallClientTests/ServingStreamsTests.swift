import HostcallLoop
import HostcallWire
import Testing

@testable import HostcallClient

/// Items of calls that this client answers.
@Suite(.timeLimit(.minutes(1))) struct ServingStreamsTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  /// A worker with one function, of the handle 1.
  private func serve(
    _ change: (inout HostcallClient.Configuration) -> Void = { _ in },
    _ handler: @escaping @Sendable (HostcallRequest) async throws -> HostcallReply
  ) async throws -> (HostcallClient, FakePeer) {
    let (client, peer) = try await daemon.connect(change)
    async let registration = client.register("f", handler: handler)
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    return (client, peer)
  }

  // MARK: Results

  @Test func resultsGoOutAsFarAsTheCreditGoesAndBeforeTheOutcome() async throws {
    let sent = HeapLock(0)
    let (client, peer) = try await serve { request in
      #expect(request.results.areTaken)
      for number in 0..<4 {
        try await request.results.send("\(number)", encoding: number == 1 ? .json : nil)
        sent.withLock { $0 += 1 }
      }
      return HostcallReply("done")
    }
    peer.invoke(5, handle: 1, credit: 2)
    for place in 0..<2 as Range<UInt32> {
      let item = try await peer.expect(.item)
      #expect(item.header.id == 5)
      #expect(item.header.aux == place)
      #expect(item.header.flags == [])
      #expect(item.header.encoding == (place == 1 ? .json : .raw))
      #expect(item.text == "\(place)")
    }
    try await peer.barrier()
    #expect(sent.withLock { $0 } <= 2)
    peer.credit(5, 1)
    #expect(try await peer.expect(.item).text == "2")
    try await peer.barrier()
    peer.credit(5, 100)
    #expect(try await peer.expect(.item).header.aux == 3)
    #expect(try await peer.expect(.complete).text == "done")
    // Credit that met the outcome on its way.
    peer.credit(5, 100)
    try await peer.barrier()
    await client.close()
  }

  @Test func aPlainCallTakesNoItems() async throws {
    let (client, peer) = try await serve { request in
      #expect(!request.results.areTaken)
      try await request.results.send("x")
      return HostcallReply()
    }
    peer.invoke(5, handle: 1)
    let complete = try await peer.expect(.complete)
    #expect(complete.header.status == .failed)
    #expect(complete.text == "f: the caller takes no items: it called by call, not by stream (see areTaken) (call 5)")
    await client.close()
  }

  @Test func anItemThatIsTooLargeOrReservedIsTheHandlersError() async throws {
    let errors = Mailbox<HostcallError>()
    let (client, peer) = try await serve { request in
      errors.put(
        try await failure { () async throws(HostcallError) in
          try await request.results.send(String(repeating: "x", count: 1 + 1 << 20))
        })
      errors.put(
        try await failure { () async throws(HostcallError) in
          try await request.results.send("x", encoding: PayloadEncoding(rawValue: 50))
        })
      try await request.results.send("fits")
      return HostcallReply()
    }
    peer.invoke(5, handle: 1, credit: 10)
    #expect(await errors.next()?.status == .tooLarge)
    #expect(await errors.next()?.code == .invalidArgument)
    #expect(try await peer.expect(.item).text == "fits")
    #expect(try await peer.expect(.complete).header.status == .ok)
    await client.close()
  }

  @Test func cancelWakesASenderThatWaits() async throws {
    let errors = Mailbox<HostcallError>()
    let waiting = Mailbox<Void>()
    let (client, peer) = try await serve { request in
      try await request.results.send("0")
      waiting.put()
      do {
        try await request.results.send("1")
      } catch let error as HostcallError {
        #expect(Task.isCancelled)
        errors.put(error)
        throw error
      }
      return HostcallReply()
    }
    peer.invoke(5, handle: 1, credit: 1)
    try await peer.expect(.item)
    _ = await waiting.next()
    peer.cancel(5, .timeout)
    let error = try #require(await errors.next())
    #expect("\(error)" == "f: TIMEOUT from the daemon: the call has ended (call 5)")
    #expect(try await peer.expect(.complete).header.status == .cancelled)
    await client.close()
  }

  /// The handler may be gone the moment it is told; its cancellation has to have reached it by then.
  @Test func aHandlerThatWaitsToSendIsCancelledBeforeItGoesOn() async throws {
    let cancels = HeapLock(0)
    let (client, peer) = try await serve { request in
      try await withTaskCancellationHandler {
        while true { try await request.results.send("x") }
      } onCancel: {
        cancels.withLock { $0 += 1 }
      }
    }
    for id in 1...200 as ClosedRange<UInt64> {
      peer.invoke(id, handle: 1, credit: 1)
      try await peer.expect(.item)
      peer.cancel(id)
      try await peer.expect(.complete)
      #expect(cancels.withLock { $0 } == Int(id))
    }
    await client.close()
  }

  @Test func whoSendsAfterTheOutcomeIsTold() async throws {
    let kept = Mailbox<HostcallRequest>()
    let (client, peer) = try await serve { request in
      kept.put(request)
      return HostcallReply()
    }
    peer.invoke(5, handle: 1, credit: 1)
    try await peer.expect(.complete)
    let request = try #require(await kept.next())
    let error = try await failure { () async throws(HostcallError) in try await request.results.send("late") }
    #expect(error.status == .late)
    await client.close()
  }

  @Test func aCancelledTaskOfAHandlerDoesNotWaitOn() async throws {
    let (client, peer) = try await serve { request in
      let task = Task { try await request.results.send("never") }
      task.cancel()
      let error = try await failure { () async throws(HostcallError) in
        do { try await task.value } catch let error as HostcallError { throw error } catch { return }
      }
      #expect(error.status == .cancelled)
      return HostcallReply("\(error.origin)")
    }
    peer.invoke(5, handle: 1, credit: 1)
    // It may have been sent before the task was cancelled; then it has not failed.
    let frame = try await #require(peer.frames.next())
    #expect(frame.kind == .item || frame.text == "client")
    await client.close()
  }

  @Test func manyTasksSendThousandsOfItemsInOrder() async throws {
    let (client, peer) = try await serve { request in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for task in 0..<4 {
          group.addTask {
            for number in 0..<1_000 { try await request.results.send("\(task) \(number)") }
          }
        }
        try await group.waitForAll()
      }
      return HostcallReply("done")
    }
    peer.invoke(5, handle: 1, credit: 1)
    var next = [0, 0, 0, 0]
    for place in 0..<4_000 as Range<UInt32> {
      let item = try await peer.expect(.item)
      #expect(item.header.aux == place)
      let parts = item.text.split(separator: " ").compactMap { Int($0) }
      #expect(parts[1] == next[parts[0]])
      next[parts[0]] += 1
      peer.credit(5, 1)
    }
    #expect(try await peer.expect(.complete).text == "done")
    await client.close()
  }

  @Test func sendersWaitForADaemonThatDoesNotRead() async throws {
    let daemon = try FakeDaemon(isReading: false)
    var configuration = daemon.configuration()
    configuration.itemQueueBytes = 200_000
    async let connecting = HostcallClient.connect(configuration)
    let peer = try await daemon.acceptSilently()
    peer.welcome()
    let client = try await connecting
    let payload = [UInt8](repeating: 7, count: 50_000)
    async let registration = client.register("f") { request in
      for _ in 0..<200 { try await request.results.send(payload) }
    }
    while await client.connection.requestCount == 0 { await Task.yield() }
    peer.send(FrameHeader(kind: .result, id: 1 << 63 | 1, aux: 1))
    _ = try await registration
    peer.invoke(5, handle: 1, credit: 1_000)
    while await client.connection.heldSenderCount == 0 { await Task.yield() }
    // What was handed in when it was told to wait, and no more: of ten megabytes.
    #expect(await client.connection.queuedBytes < 500_000)
    peer.startReading()
    try await peer.expect(.hello)
    try await peer.expect(.register)
    for place in 0..<200 as Range<UInt32> { #expect(try await peer.expect(.item).header.aux == place) }
    try await peer.expect(.complete)
    await client.close()
  }

  @Test func aRejectedItemOfARunningCallIsNoRejectedCompletion() async throws {
    let gate = Mailbox<Void>()
    let (client, peer) = try await serve { request in
      _ = await gate.next()
      return HostcallReply()
    }
    peer.invoke(5, handle: 1, credit: 1)
    peer.send(FrameHeader(kind: .rejected, status: .late, id: 5))
    try await peer.barrier()
    gate.put()
    try await peer.expect(.complete)
    peer.send(FrameHeader(kind: .rejected, status: .late, id: 6))
    var rejections = client.rejections.makeAsyncIterator()
    #expect(await rejections.next()?.correlationID == 6)
    await client.close()
  }

  // MARK: Arguments

  @Test func argumentsAreGrantedWhenTheyAreReadAndNotBefore() async throws {
    let gate = Mailbox<Void>()
    let (client, peer) = try await serve({ $0.itemWindow = 4 }) { request in
      _ = await gate.next()
      var texts: [String] = []
      for try await item in request.arguments { texts.append(item.text) }
      return HostcallReply(texts.joined(separator: ","))
    }
    peer.invoke(5, handle: 1, flags: .open)
    try await peer.barrier()
    gate.put()
    let first = try await peer.expect(.credit)
    #expect(first.header.id == 5)
    #expect(first.header.aux == 4)
    for place in 0..<4 as Range<UInt32> { peer.item(5, place: place, "\(place)") }
    // Again, when half of it is used.
    #expect(try await peer.expect(.credit).header.aux == 2)
    #expect(try await peer.expect(.credit).header.aux == 2)
    peer.item(5, place: 4, isLast: true, "4")
    #expect(try await peer.expect(.complete).text == "0,1,2,3,4")
    await client.close()
  }

  @Test func anEmptyLastItemIsTheEndAndNoItem() async throws {
    let (client, peer) = try await serve { request in
      var count = 0
      for try await item in request.arguments {
        #expect(item.payload.isEmpty)
        count += 1
      }
      return HostcallReply("\(count)")
    }
    peer.invoke(5, handle: 1, flags: .open)
    #expect(try await peer.expect(.credit).header.aux == 32)
    peer.item(5, place: 0)
    peer.item(5, place: 1, isLast: true)
    #expect(try await peer.expect(.complete).text == "1")
    // What met the outcome on its way.
    peer.item(5, place: 2)
    try await peer.barrier()
    await client.close()
  }

  @Test func aCallWithoutArgumentsHasNone() async throws {
    let (client, peer) = try await serve { request in
      for try await _ in request.arguments { Issue.record("an argument from nowhere") }
      return HostcallReply("none")
    }
    peer.invoke(5, handle: 1)
    #expect(try await peer.expect(.complete).text == "none")
    await client.close()
  }

  @Test func cancelAndLossEndTheArgumentsWithAnError() async throws {
    let errors = Mailbox<HostcallError>()
    let (client, peer) = try await serve { request in
      errors.put(
        try await failure { () async throws(HostcallError) in
          for try await _ in request.arguments {}
        })
      return HostcallReply()
    }
    peer.invoke(5, handle: 1, flags: .open)
    try await peer.expect(.credit)
    peer.cancel(5, .callerLost)
    #expect(await errors.next()?.status == .callerLost)
    try await peer.expect(.complete)
    peer.invoke(6, handle: 1, flags: .open)
    try await peer.expect(.credit)
    peer.hangUp()
    #expect(await errors.next()?.code == .connectionLost)
    await client.close()
  }

  @Test func anArgumentOutOfOrderEndsTheConnection() async throws {
    let (client, peer) = try await serve { request in
      for try await _ in request.arguments {}
      return HostcallReply()
    }
    peer.invoke(5, handle: 1, flags: .open)
    try await peer.expect(.credit)
    peer.item(5, place: 3)
    #expect(try await peer.expect(.goaway).text == "ITEM at the place 3, not 0")
    await client.close()
  }

  @Test func anArgumentForACallWithoutAnyEndsTheConnection() async throws {
    let gate = Mailbox<Void>()
    let (client, peer) = try await serve { _ in
      _ = await gate.next()
      return HostcallReply()
    }
    peer.invoke(5, handle: 1)
    peer.item(5, place: 0)
    #expect(try await peer.expect(.goaway).text == "ITEM for the call 5, which has no arguments")
    gate.put()
    await client.close()
  }

  @Test func manualWorkersHaveStreamsToo() async throws {
    let (client, peer) = try await daemon.connect()
    async let registration = client.registerManually("f") { invocation in
      Task {
        do {
          for try await item in invocation.request.arguments {
            try await invocation.request.results.send("<\(item.text)>")
          }
          invocation.complete("done")
        } catch {
          invocation.complete(HostcallFailure(payload: "\(error)"))
        }
      }
    }
    try await peer.acceptRegistration(handle: 1)
    _ = try await registration
    peer.invoke(5, handle: 1, flags: .open, credit: 5)
    try await peer.expect(.credit)
    peer.item(5, place: 0, "a")
    #expect(try await peer.expect(.item).text == "<a>")
    peer.item(5, place: 1, isLast: true, "b")
    #expect(try await peer.expect(.item).text == "<b>")
    #expect(try await peer.expect(.complete).text == "done")
    await client.close()
  }
}

extension ClientConnection {
  var requestCount: Int { link?.requests.count ?? 0 }
  var heldSenderCount: Int { link?.heldSenders.count ?? 0 }
  var queuedBytes: Int { link?.stream.output.queuedBytes ?? 0 }
}
