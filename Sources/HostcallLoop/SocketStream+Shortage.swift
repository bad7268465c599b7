import Glibc

/// How long one direction of a stream has gone without memory of the system, or room for descriptors under way.
///
/// That is no fault of the peer's, and passes: the stream rests for a while and tries again, and the connection is
/// given up only when that has gone on for `retryMilliseconds` times `maximumRetries`, ten seconds.
struct Shortage {
  /// Between one try and the next.
  static let retryMilliseconds: UInt64 = 20
  static let maximumRetries = 500

  /// How many tries in a row have met it.
  private var count = 0
  /// Whether the next try is still to come.
  private(set) var isResting = false

  /// Whether the last try met it.
  var isMet: Bool { count > 0 }

  /// Whether an `errno` value tells of a shortage: of memory, of descriptors, or, with `ETOOMANYREFS`, that too many
  /// descriptors which this user has sent have not been received by whom they were sent to.
  static func isMeant(by code: Int32) -> Bool {
    switch code {
    case ENOBUFS, ENOMEM, EMFILE, ENFILE, ETOOMANYREFS: true
    default: false
    }
  }

  /// A try met the shortage; false when it was the last one.
  mutating func meet() -> Bool {
    count += 1
    isResting = count <= Self.maximumRetries
    return isResting
  }

  /// Nothing is short, and the next try is to come later all the same.
  mutating func rest() { isResting = true }

  /// It is time for the next try.
  mutating func endRest() { isResting = false }

  /// A try went well.
  mutating func end() { self = Shortage() }
}

extension SocketStream {
  /// Whether a read that ended with this code will be tried again later; nothing is watched for until then.
  func waitOutReadingShortage(_ code: Int32) -> Bool {
    guard Shortage.isMeant(by: code) else { return false }
    let mustSchedule = !isResting
    guard readingShortage.meet() else { return false }
    if mustSchedule { scheduleRetry() }
    updateWatching()
    return true
  }

  /// Whether a send that ended with this code will be tried again later; the caller updates the watching.
  func waitOutSendingShortage(_ code: Int32) -> Bool {
    guard Shortage.isMeant(by: code) else { return false }
    let mustSchedule = !isResting
    guard sendingShortage.meet() else { return false }
    if mustSchedule { scheduleRetry() }
    awaitsWritable = true
    return true
  }

  private var isResting: Bool { readingShortage.isResting || sendingShortage.isResting }

  /// Sends nothing more for so long; the caller updates the watching.
  func restUntilNextLook(milliseconds: UInt64) {
    if !isResting { scheduleRetry(milliseconds: milliseconds) }
    sendingShortage.rest()
  }

  private func scheduleRetry(milliseconds: UInt64 = Shortage.retryMilliseconds) {
    let timer = shortageTimer ?? LoopTimer(loop) { [unowned self] in retryAfterShortage() }
    shortageTimer = timer
    timer.schedule(afterMilliseconds: milliseconds)
  }

  private func retryAfterShortage() {
    guard isOpen else { return }
    let sends = sendingShortage.isResting
    readingShortage.endRest()
    sendingShortage.endRest()
    if sends { becameWritable() }
    // Reading is tried again because the socket is still readable.
    updateWatching()
  }
}
