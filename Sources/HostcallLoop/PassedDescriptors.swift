import Glibc

/// Open files on their way from one process to another, in order: it owns their descriptors and closes what is left of
/// them when the last reference to it goes, on whatever path.
///
/// Closing happens on another thread, soon after, for a descriptor from outside may take for ever to close.
///
/// Thread: any. Who takes a descriptor out owns it from then on. A batch that was handed to a stream is not taken from:
/// the frame that it goes with names its number. See protocol, *Descriptors*.
package final class PassedDescriptors: Sendable {
  /// The most that one message carries, the kernel's `SCM_MAX_FD`; a frame of the protocol carries fewer.
  package static let maximumCount = 253
  /// What stands where a descriptor has been taken.
  private static let taken: Int32 = -1

  /// Every descriptor in its place.
  private let places: HeapLock<[Int32]>
  /// What runs when the last reference goes.
  private let released = HeapLock<(@Sendable () -> Void)?>(nil)
  /// Whether descriptors of the message are missing because this process could have no more of them.
  package let wasTruncated: Bool

  /// Takes over descriptors, at most `maximumCount`, that are open and that no one else will close.
  package init(takingOver numbers: [Int32], wasTruncated: Bool = false) {
    precondition(numbers.count <= Self.maximumCount, "\(numbers.count) descriptors do not fit into a message")
    precondition(numbers.allSatisfy { $0 >= 0 }, "a negative number is no descriptor")
    places = HeapLock(numbers)
    self.wasTruncated = wasTruncated
  }

  /// Duplicates descriptors that stay the caller's; the duplicates are closed on exec.
  ///
  /// Errors: `EBADF` where one is not open, `EMFILE` where the process can have no more, `EINVAL` for more than
  /// `maximumCount`; nothing is left open then.
  package convenience init(duplicating numbers: [Int32]) throws(LoopError) {
    guard numbers.count <= Self.maximumCount else {
      let reason = "\(numbers.count) are too many for one message"
      throw LoopError(attempted: "pass descriptors", code: EINVAL, reason: reason)
    }
    var duplicates: [Int32] = []
    for number in numbers {
      let duplicate = fcntl(number, F_DUPFD_CLOEXEC, 0)
      guard duplicate >= 0 else {
        let code = errno
        DescriptorCloser.shared.close(duplicates)
        let advice = code == EMFILE ? "raise the limit on open files" : nil
        throw LoopError(attempted: "pass descriptor \(number)", code: code, advice: advice)
      }
      duplicates.append(duplicate)
    }
    self.init(takingOver: duplicates)
  }

  deinit {
    DescriptorCloser.shared.close(numbers)
    released.withLock { $0 }?()
  }

  /// Has `body` run, on whichever thread, when the last reference goes. There is one such body.
  package func onRelease(_ body: @escaping @Sendable () -> Void) {
    released.withLock { released in
      precondition(released == nil, "a batch of descriptors is watched twice")
      released = body
    }
  }

  /// The descriptors that have not been taken, in order; this object's, and open for as long as it has them.
  package var numbers: [Int32] { withNumbers { $0 } }

  /// How many have not been taken.
  package var count: Int { numbers.count }

  /// Gives away the descriptor that came at this place, counted from 0; nil where there is none, or it was taken before.
  package func take(at place: Int) -> Int32? {
    places.withLock { places in
      guard places.indices.contains(place), places[place] != Self.taken else { return nil }
      let number = places[place]
      places[place] = Self.taken
      return number
    }
  }

  /// Gives away all that are left, in order.
  package func takeAll() -> [Int32] {
    places.withLock { places in
      let numbers = places.filter { $0 != Self.taken }
      places = places.map { _ in Self.taken }
      return numbers
    }
  }

  /// Runs `body` with the descriptors that have not been taken, while no one can take one.
  func withNumbers<Result: Sendable>(_ body: ([Int32]) -> Result) -> Result {
    places.withLock { places in body(places.filter { $0 != Self.taken }) }
  }
}
