import CHostcall
import CLibuv
import Glibc
import HostcallFunctions
import HostcallLoop

/// Runs the callbacks of a context: on threads of its own, or, where it has none, on those that poll or wait.
///
/// The loop's thread hands callbacks in and never runs any, so they may block. Thread: any.
final class Dispatcher: Sendable {
  typealias Job = @Sendable () -> Void

  private struct State {
    /// Callbacks that nobody has begun with.
    var waiting = Queue<Job>()
    /// Callbacks that run now.
    var running = 0
    /// What will still hand in a last callback.
    var held = 0
    var threads = 0
    /// Threads that have nothing to do; the one that ran last is taken first.
    var idle: [IdleThread] = []
    /// Whether a thread was woken and has not come yet. Only one is at a time: when it comes it takes what has waited
    /// longest, and wakes the next where more is waiting. So a callback that blocks holds no other up, and many short ones
    /// are run by few threads.
    var isWaking = false
    var isClosing = false
    /// Whether the connection is over for good.
    var hasEnded = false
    /// Rises whenever something happens that somebody in ``wait(milliseconds:until:)`` may wait for.
    var wakes: UInt64 = 0

    /// Whether no callback runs or ever will.
    var isOver: Bool { isClosing && waiting.isEmpty && running == 0 && held == 0 }
  }

  /// What a thread without a callback waits for.
  private enum Call {
    case work
    case end
  }

  private typealias IdleThread = HeapCondition<Call?>

  /// Those whose callbacks this thread is inside of, the innermost last.
  @TaskLocal private static var current: [ObjectIdentifier] = []

  /// Callbacks inside of each other, past which a polled context waits without running more.
  private static let mostNestedCallbacks = 64

  private let state = HeapCondition(State())
  private let threadLimit: Int
  /// Readable while callbacks wait to be polled; -1 where threads run them.
  let descriptor: Int32

  var isPolled: Bool { descriptor >= 0 }

  /// Whether this thread is inside one of the callbacks.
  var isInside: Bool { Self.current.contains(ObjectIdentifier(self)) }

  /// - Parameter threadLimit: threads at most; nil where callbacks are polled.
  init(threadLimit: Int?) throws(InterfaceError) {
    self.threadLimit = threadLimit ?? 0
    descriptor = threadLimit == nil ? eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)) : -1
    guard threadLimit != nil || descriptor >= 0 else {
      throw InterfaceError(
        HOSTCALL_OVERLOADED,
        "cannot make a descriptor to poll: \(LoopError.text(ofCode: errno)) (raise the limit on open files)")
    }
    guard !isPolled else { return }
    // So that there is one whenever callbacks wait.
    state.change { state in
      state.threads = 1
      state.isWaking = true
      return false
    }
    do throws(LoopError) {
      try makeThread()
    } catch {
      throw InterfaceError(HOSTCALL_OVERLOADED, error.description)
    }
  }

  deinit {
    if descriptor >= 0 { Glibc.close(descriptor) }
  }

  // MARK: Handing in

  /// Runs a callback, soon.
  func run(_ job: @escaping Job) {
    var next = Next.nobody
    state.change { state in
      state.wakes += 1
      state.waiting.append(job)
      if isPolled {
        if state.waiting.count == 1 { eventfd_write(descriptor, 1) }
        return true
      }
      next = wakeOne(&state)
      return false
    }
    wake(next)
  }

  /// Something keeps a last callback, which it hands in by ``letGo(_:)``.
  func hold() {
    state.change { state in
      state.held += 1
      return false
    }
  }

  func letGo(_ last: @escaping Job) {
    run {
      last()
      self.release()
    }
  }

  /// What was held has run its last callback, which this is.
  func release() {
    state.change { state in
      state.held -= 1
      return false
    }
  }

  /// Nothing more will come by itself: who polls need not wait.
  func noteEnd() {
    state.change { state in
      state.hasEnded = true
      state.wakes += 1
      return true
    }
  }

  var hasEnded: Bool { state.current.hasEnded }

  /// Something has happened that somebody in ``wait(milliseconds:until:)`` may wait for.
  func wake() {
    guard isPolled else { return }
    state.change { state in
      state.wakes += 1
      return true
    }
  }

  // MARK: Running

  private func begin(_ job: Job) {
    // What a callback of another call inherits is nothing to this one.
    HostcallContext.$current.withValue(nil) {
      Self.$current.withValue(Self.current + [ObjectIdentifier(self)], operation: job)
    }
  }

  /// Takes out the callback that has waited longest.
  private func takeWaiting() -> Job? {
    var job: Job?
    state.change { state in
      job = state.waiting.popFirst()
      if job != nil { state.running += 1 }
      if isPolled, state.waiting.isEmpty {
        var count = eventfd_t()
        eventfd_read(descriptor, &count)
      }
      return false
    }
    return job
  }

  /// A callback has returned.
  private func finished() {
    state.change { state in
      state.running -= 1
      return endIfOver(&state)
    }
  }

  /// Ends the threads once nothing is left for them; true where it is so.
  private func endIfOver(_ state: inout State) -> Bool {
    guard state.isOver else { return false }
    for thread in state.idle { Self.call(thread, .end) }
    state.idle = []
    return true
  }

  // MARK: Threads

  /// Who is to look for a callback.
  private enum Next {
    case nobody
    case idle(IdleThread)
    case new
  }

  /// Chooses a thread for what is waiting, unless one is on its way.
  private func wakeOne(_ state: inout State) -> Next {
    guard !state.isWaking, !state.waiting.isEmpty else { return .nobody }
    if let thread = state.idle.popLast() {
      state.isWaking = true
      return .idle(thread)
    }
    guard state.threads < threadLimit else { return .nobody }
    state.threads += 1
    state.isWaking = true
    return .new
  }

  private func wake(_ next: Next) {
    switch next {
    case .nobody: break
    case .idle(let thread): Self.call(thread, .work)
    case .new: startThread()
    }
  }

  private static func call(_ thread: IdleThread, _ call: Call) {
    thread.change { waiting in
      waiting = call
      return true
    }
  }

  private func startThread() {
    do throws(LoopError) {
      try makeThread()
    } catch {
      // One of the others takes it on, at once or when it has run what it runs.
      var idle: IdleThread?
      state.change { state in
        state.threads -= 1
        idle = state.idle.popLast()
        state.isWaking = idle != nil
        return false
      }
      if let idle { Self.call(idle, .work) }
    }
  }

  private func makeThread() throws(LoopError) {
    try BlockedSignals.whileBlocked { () throws(LoopError) in
      try SystemThread(named: "hostcall-worker") { self.work() }.detach()
    }
  }

  private func work() {
    let idle = IdleThread(nil)
    repeat {
      var isFirst = true
      while let job = takeWaiting(isFirst: isFirst) {
        begin(job)
        isFirst = false
      }
    } while rest(idle)
  }

  /// The callback that a thread runs next; nil where none is waiting.
  ///
  /// - Parameter isFirst: whether the thread was woken for it; else it has run one before.
  private func takeWaiting(isFirst: Bool) -> Job? {
    var job: Job?
    var next = Next.nobody
    state.change { state in
      if isFirst { state.isWaking = false } else { state.running -= 1 }
      job = state.waiting.popFirst()
      if job != nil { state.running += 1 }
      next = wakeOne(&state)
      return false
    }
    wake(next)
    return job
  }

  /// Waits until there may be a callback to run; false at the end.
  private func rest(_ idle: IdleThread) -> Bool {
    var hasWork = false
    state.change { state in
      hasWork = !state.waiting.isEmpty && !state.isWaking
      if hasWork {
        state.isWaking = true
      } else {
        state.idle.append(idle)
      }
      return endIfOver(&state)
    }
    if hasWork { return true }
    return idle.wait { $0.take() } == .work
  }

  // MARK: Polling and waiting

  /// Runs the callbacks that wait now, or the first that comes within the time; gives their number.
  ///
  /// - Parameter milliseconds: nil without end.
  func poll(milliseconds: Int?) -> Int {
    _ = state.wait(milliseconds: milliseconds ?? .max) { !$0.waiting.isEmpty || $0.isClosing || $0.hasEnded }
    let count = state.current.waiting.count
    var done = 0
    while done < count, let job = takeWaiting() {
      begin(job)
      finished()
      done += 1
    }
    if !isInside, state.current.isClosing { drain() }
    return done
  }

  /// Waits until `holds`, which changes with a ``wake()``; where callbacks are polled they run meanwhile. Whether it came
  /// to hold within the time.
  func wait<Value>(_ condition: HeapCondition<Value>, milliseconds: Int, until holds: (Value) -> Bool) -> Bool {
    guard isPolled, Self.current.count < Self.mostNestedCallbacks else {
      return condition.wait(milliseconds: milliseconds, until: holds)
    }
    // Something that ran meanwhile may have closed the context.
    defer { if !isInside, state.current.isClosing { drain() } }
    let end = ContinuousClock.now + .milliseconds(min(milliseconds, Self.longestWaitMilliseconds))
    while true {
      let wakes = state.current.wakes
      if holds(condition.current) { return true }
      if let job = takeWaiting() {
        begin(job)
        finished()
        continue
      }
      let left = (end - .now).components
      let leftMilliseconds = Int(left.seconds) * 1_000 + Int(left.attoseconds / 1_000_000_000_000_000) + 1
      if end <= .now || !state.wait(milliseconds: leftMilliseconds, until: { $0.wakes != wakes }) {
        return holds(condition.current)
      }
    }
  }

  /// A year: past any deadline, and within what clocks can add up.
  static let longestWaitMilliseconds = 365 * 24 * 3_600 * 1_000

  // MARK: The end

  /// No more callbacks are handed in but by those that run and what is held; returns when the last has returned. Inside a
  /// callback it does not wait, and the end comes after that one.
  func close() {
    state.change { state in
      state.isClosing = true
      _ = endIfOver(&state)
      return true
    }
    if !isInside { drain() }
  }

  private func drain() {
    guard isPolled else {
      _ = state.wait { $0.isOver ? true : nil }
      return
    }
    while !state.current.isOver {
      if let job = takeWaiting() {
        begin(job)
        finished()
      } else {
        _ = state.wait(milliseconds: .max) { $0.isOver || !$0.waiting.isEmpty }
      }
    }
  }
}
