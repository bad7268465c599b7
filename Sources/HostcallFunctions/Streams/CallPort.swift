/// The way from the streams of one call to the connection that they travel by.
///
/// Thread: any. Everything is done in order, soon after; for a call that has ended it does nothing.
package protocol CallPort: Sendable {
  /// The call's `ItemSender` has items to be written.
  func sendPendingItems()
  /// The consumer can take so many more items: CREDIT.
  func grant(_ items: UInt32)
  /// The caller wants no outcome any more: CANCEL. The call then ends with this error, where there is one, instead of
  /// the daemon's CANCELLED. Not for workers.
  func cancel(_ reason: HostcallError?)
}
