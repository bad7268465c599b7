import HostcallLoop

/// A value that only the loop thread touches, which each access checks: that is what makes `@unchecked Sendable` right.
final class LoopConfined<Value>: @unchecked Sendable {
  private let loop: EventLoop
  private var stored: Value

  init(_ loop: EventLoop, _ value: sending Value) {
    self.loop = loop
    stored = value
  }

  var value: Value {
    get {
      loop.preconditionIsCurrent("a confined value")
      return stored
    }
    set {
      loop.preconditionIsCurrent("a confined value")
      stored = newValue
    }
  }
}

extension EventLoop {
  /// Runs `body` on the loop thread and waits for it.
  func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      execute { continuation.resume(with: Swift.Result { try body() }) }
    }
  }
}

/// An actor on a loop.
actor LoopActor {
  nonisolated let loop: EventLoop
  private(set) var log: [Int] = []
  private(set) var sum = 0
  private(set) var runsElsewhere = 0
  private var timer: LoopTimer?

  init(_ loop: EventLoop) {
    self.loop = loop
  }

  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  func append(_ value: Int) {
    if !loop.isCurrent { runsElsewhere += 1 }
    log.append(value)
    sum += value
  }

  /// Opens `gate` from a timer's callback, after having got at its own state there.
  func startTimer(_ gate: Gate) {
    timer = LoopTimer(loop) { [unowned self] in
      self.assumeIsolated { $0.log.append(-1) }
      gate.open()
    }
    timer?.schedule(afterMilliseconds: 1)
  }
}
