/// The way from the streams of one call to the connection that they travel by.
///
/// Thread: any. Everything is done in order, soon after; for a call that has ended it does nothing.
package protocol CallPort: Sendable {
  /// The call's `ItemSender` has items to be written.
  func sendPendingItems()
  /// The consumer can take so many more items: CREDIT.
  func grant(_ items: UInt32)
}
