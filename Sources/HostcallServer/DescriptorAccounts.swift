import HostcallBridge
import HostcallLoop

/// Open files of one user that are on their way through the daemon.
///
/// Thread: any, for the last reference to what is on its way may go on any.
final class DescriptorAccount: Sendable {
  private let held = HeapLock(0)

  var isEmpty: Bool { held.withLock { $0 == 0 } }

  /// Charges so many, unless the user had more than the limit then.
  func charge(_ count: Int, limit: Int) -> Bool {
    held.withLock { held in
      guard held + count <= limit else { return false }
      held += count
      return true
    }
  }

  func release(_ count: Int) {
    held.withLock { $0 -= count }
  }
}

/// Descriptors that came with a frame, charged to the user that sent them until nobody holds them any more.
final class ChargedDescriptors: FrameDescriptors {
  /// What can be passed on; nothing where there is a problem.
  let passed: PassedDescriptors?
  let count: Int
  let problem: DescriptorsProblem?

  /// Charges what has come, or closes it.
  init(_ received: PassedDescriptors, to account: DescriptorAccount, limit: Int) {
    count = received.count
    if received.wasTruncated {
      (passed, problem) = (nil, .outOfDescriptors)
    } else if account.charge(received.count, limit: limit) {
      (passed, problem) = (received, nil)
      let count = received.count
      received.onRelease { account.release(count) }
    } else {
      (passed, problem) = (nil, .overQuota(limit: limit))
    }
  }

  /// What an earlier process had under way; charged to nobody.
  init(takingOver batch: HandedOver.PassedBatch) {
    let isComplete = batch.descriptors.count == Int(batch.count)
    let received = PassedDescriptors(takingOver: batch.descriptors)
    (passed, problem) = isComplete ? (received, nil) : (nil, .outOfDescriptors)
    count = Int(batch.count)
  }

  /// What a peer of this process passes; charged to nobody.
  init(_ passed: PassedDescriptors) {
    self.passed = passed
    count = passed.count
    problem = nil
  }
}

/// The accounts of all users that have something on its way. Belongs to the loop thread.
struct DescriptorAccounts {
  private var accounts: [UInt32: DescriptorAccount] = [:]
  /// How many there may be before empty ones are forgotten.
  private var nextSweep = 64

  mutating func account(of userID: UInt32) -> DescriptorAccount {
    if let account = accounts[userID] { return account }
    if accounts.count >= nextSweep {
      accounts = accounts.filter { !$0.value.isEmpty }
      nextSweep = max(64, accounts.count * 2)
    }
    let account = DescriptorAccount()
    accounts[userID] = account
    return account
  }
}
