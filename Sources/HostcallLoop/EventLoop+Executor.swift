import CLibuv

// Handing work to the loop from any thread, and running it.
extension EventLoop {
  /// How often a drain looks for more before it lets I/O and timers have a turn.
  private static let drainRounds = 16
  /// Above this many items an emptied array is freed instead of kept for the next ones.
  private static let keptItems = 16_384

  /// Takes a job of an actor or task that runs on this loop.
  ///
  /// Any thread.
  package func enqueue(_ job: consuming ExecutorJob) {
    put(.job(UnownedJob(job)))
  }

  /// Runs `work` on the loop thread, in order with everything else that was handed in.
  ///
  /// Any thread.
  package func execute(_ work: @escaping @Sendable () -> Void) {
    put(.work(work))
  }

  /// Tells the runtime whether the calling thread is the loop's, so that `assumeIsolated` holds in callbacks.
  package func isIsolatingCurrentContext() -> Bool? {
    isCurrent
  }

  /// Stops the process if the calling thread is not the loop's; asked by `assumeIsolated`.
  package func checkIsolated() {
    preconditionIsCurrent("code isolated to an actor of a loop")
  }

  private func put(_ item: LoopInbox.Item) {
    inbox.withLock { inbox in
      switch inbox.put(item) {
      case .nothing: break
      // Under the lock: libuv 1.44 may write to a closed descriptor when a send races the closing of the wake-up.
      case .wakeLoop: uv_async_send(wakeUp)
      case .startStandIn: startStandIn()
      }
    }
  }

  /// Runs what was handed in, including what that hands in, for a limited number of rounds.
  ///
  /// Loop thread.
  func drain() {
    for _ in 0..<Self.drainRounds {
      inbox.withLock { inbox in
        guard inbox.phase != .ending else { return }
        inbox.phase = inbox.items.isEmpty ? .waiting : .draining
        inbox.take(&taken)
      }
      if taken.isEmpty { return }
      runTaken()
    }
    inbox.withLock { inbox in
      guard inbox.phase == .draining else { return }
      inbox.phase = .waiting
      if !inbox.items.isEmpty { uv_async_send(wakeUp) }
    }
  }

  /// Runs everything until there is no more, and then, in one step with seeing that, enters `.ended`.
  ///
  /// For the loop thread after its last turn, and for stand-in threads.
  func drainToTheEnd() {
    while true {
      let isOver = inbox.withLock { inbox in
        inbox.take(&taken)
        if taken.isEmpty { inbox.phase = .ended }
        return taken.isEmpty
      }
      // Once `.ended` is seen outside the lock `taken` is a stand-in thread's: it is not looked at again here.
      if isOver { return }
      runTaken()
    }
  }

  private func runTaken() {
    // Taken out of the property, so that nothing that runs can meet an access to it.
    var items = ContiguousArray<LoopInbox.Item>()
    swap(&items, &taken)
    let executor = asUnownedSerialExecutor()
    for item in items {
      switch item {
      case .job(let job): job.runSynchronously(on: executor)
      case .work(let work): work()
      }
    }
    items.removeAll(keepingCapacity: items.capacity <= Self.keptItems)
    swap(&items, &taken)
  }
}
