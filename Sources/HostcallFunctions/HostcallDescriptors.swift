import Glibc
package import HostcallLoop
import HostcallWire

/// Open files, pipes or sockets that travel with a call or its result (protocol section 4, *Descriptors*).
///
/// It owns its descriptors, and closes those that nobody has taken when the last copy of it goes: a handler that does not
/// look at ``HostcallRequest/descriptors`` leaks none. Closing happens on another thread, soon after. Thread: any.
///
/// ```swift
/// try await worker.register("sha256") { request in
///   guard let file = request.descriptors.take() else { throw HostcallFailure(payload: "no file came along") }
///   defer { close(file) }
///   return try hash(file)
/// }
/// ```
public struct HostcallDescriptors: Sendable, Equatable {
  /// The most that travel with one call or result.
  public static let maximumCount = 16

  /// None.
  public static let none = HostcallDescriptors(nil)

  /// What owns them; nil where there are none.
  package let passed: PassedDescriptors?

  package init(_ passed: PassedDescriptors?) {
    self.passed = passed
  }

  /// Duplicates descriptors, which stay the caller's.
  ///
  /// - Throws: ``HostcallError`` where one is not open, where there are more than 16, or where the process can have no
  ///   more of them.
  public init(duplicating numbers: [Int32]) throws(HostcallError) {
    guard !numbers.isEmpty else {
      passed = nil
      return
    }
    try Self.check(numbers)
    do throws(LoopError) {
      passed = try PassedDescriptors(duplicating: numbers)
    } catch {
      let code: HostcallError.Code = error.code == EBADF ? .invalidArgument : .status(.overloaded)
      throw HostcallError(code, message: error.description)
    }
  }

  /// The same, for a call.
  package init(duplicating numbers: [Int32], for function: String) throws(HostcallError) {
    do throws(HostcallError) {
      try self.init(duplicating: numbers)
    } catch {
      throw error.about(function)
    }
  }

  /// Takes over descriptors that are open and that nobody else will close.
  ///
  /// - Throws: ``HostcallError`` where there are more than 16, or one is negative; all are closed then.
  public init(takingOver numbers: [Int32]) throws(HostcallError) {
    guard !numbers.isEmpty else {
      passed = nil
      return
    }
    do throws(HostcallError) {
      try Self.check(numbers)
    } catch {
      for number in numbers where number >= 0 { close(number) }
      throw error
    }
    passed = PassedDescriptors(takingOver: numbers)
  }

  private static func check(_ numbers: [Int32]) throws(HostcallError) {
    guard numbers.count <= maximumCount else {
      throw HostcallError(
        .invalidArgument, message: "\(numbers.count) descriptors are too many to pass: \(maximumCount) are the most")
    }
    if let number = numbers.first(where: { $0 < 0 }) {
      throw HostcallError(.invalidArgument, message: "\(number) is no descriptor")
    }
  }

  /// How many there are that nobody has taken.
  public var count: Int { passed?.count ?? 0 }

  /// Whether there is none that nobody has taken.
  public var isEmpty: Bool { count == 0 }

  /// Gives away the descriptor that came at this place, counted from 0: the caller has to close it.
  ///
  /// Nil where there is none, or it was taken before.
  public func take(_ place: Int = 0) -> Int32? { passed?.take(at: place) }

  /// Closes those that nobody has taken, soon, and not only with the last copy.
  public func closeAll() { _ = handedOver() }

  /// Lends the descriptors that nobody has taken, in order; they are open for as long as `body` runs and nobody takes
  /// one.
  public func withNumbers<Result: ~Copyable, Failure: Error>(
    _ body: ([Int32]) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(passed) {} }
    return try body(passed?.numbers ?? [])
  }

  /// All that nobody has taken, in an owner that nobody else knows, so that none can be taken while they are sent.
  func handedOver() -> HostcallDescriptors {
    guard let numbers = passed?.takeAll(), !numbers.isEmpty else { return .none }
    return HostcallDescriptors(PassedDescriptors(takingOver: numbers))
  }

  /// Whether they are the same, not merely the same files.
  public static func == (one: HostcallDescriptors, other: HostcallDescriptors) -> Bool { one.passed === other.passed }
}

extension Metadata {
  /// The key that says how many descriptors come with a frame.
  static let descriptorsKey = "descriptors"

  /// With the number of descriptors; throws where that does not fit.
  func counting(_ descriptors: HostcallDescriptors) throws(MetadataError) -> Metadata {
    guard !descriptors.isEmpty else { return self }
    var metadata = self
    try metadata.set(Self.descriptorsKey, to: String(descriptors.count))
    return metadata
  }

  /// What a frame's metadata is to a user: without the number of its descriptors.
  init(of frame: DecodedFrame) {
    self.init(decoding: frame.metadata)
    if frame.header.flags.has(.descriptors) { self[Self.descriptorsKey] = nil }
  }
}
