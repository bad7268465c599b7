import Glibc
import Testing

@testable import HostcallLoop

@Suite("PassedDescriptors", .timeLimit(.minutes(1)))
struct PassedDescriptorsTests {
  @Test("what was not taken is closed once, when the last reference goes")
  func closesWhatIsLeft() {
    let numbers = (0..<4).map { TaggedFile.open($0) }
    var held: PassedDescriptors? = PassedDescriptors(takingOver: numbers)
    let other = held
    #expect(held?.count == 4 && held?.numbers == numbers && held?.wasTruncated == false)
    #expect(held?.take(at: 1) == numbers[1])
    #expect(held?.take(at: 1) == nil && held?.take(at: 4) == nil && held?.take(at: -1) == nil)
    #expect(other?.numbers == [numbers[0], numbers[2], numbers[3]])
    held = nil
    #expect(TaggedFile.tag(of: numbers[0]) == 0)
    #expect(other?.takeAll() == [numbers[0], numbers[2], numbers[3]])
    #expect(other?.count == 0 && other?.takeAll() == [])
    // Taken ones are the taker's.
    for (tag, number) in numbers.enumerated() {
      #expect(TaggedFile.tag(of: number) == UInt64(tag))
      #expect(close(number) == 0)
    }
  }

  @Test("every end closes everything, from any thread")
  func leavesNothingOpen() async {
    await #expect(processExitsWith: .success) {
      let before = openDescriptorCount()
      for round in 0..<500 {
        let batch = PassedDescriptors(takingOver: (0..<8).map { TaggedFile.open($0) })
        if round % 3 == 0 { for number in batch.takeAll() { close(number) } }
        if round % 3 == 1, let number = batch.take(at: 3) { close(number) }
        if round % 50 == 0 { await Task.detached { _ = batch.count }.value }
      }
      // The runtime may open a few of its own meanwhile.
      #expect(await eventually { openDescriptorCount() < before + 20 })
    }
  }

  @Test("duplicates are this object's own, closed on exec, and the originals stay the caller's")
  func duplicates() throws {
    let original = TaggedFile.open(7)
    let batch = try PassedDescriptors(duplicating: [original, original])
    let numbers = batch.numbers
    #expect(numbers.count == 2 && !numbers.contains(original))
    for number in numbers { #expect(TaggedFile.tag(of: number) == 7 && isOpenAndClosedOnExec(number)) }
    #expect(close(original) == 0)
    #expect(TaggedFile.tag(of: numbers[0]) == 7)
  }

  @Test("what cannot be duplicated is an error that says so, and nothing stays open")
  func refusesWhatIsNotOpen() async throws {
    let tooMany = [Int32](repeating: STDERR_FILENO, count: PassedDescriptors.maximumCount + 1)
    let error = #expect(throws: LoopError.self) { try PassedDescriptors(duplicating: tooMany) }
    #expect(error?.description == "cannot pass descriptors: 254 are too many for one message")
    await #expect(processExitsWith: .success) {
      let closed = TaggedFile.open(1)
      close(closed)
      let before = openDescriptorCount()
      let notOpen = #expect(throws: LoopError.self) {
        try PassedDescriptors(duplicating: [STDERR_FILENO, closed + 1_000])
      }
      #expect(notOpen?.code == EBADF)
      let noneLeft = withDescriptorsLeft(2) {
        do throws(LoopError) {
          _ = try PassedDescriptors(duplicating: [STDERR_FILENO, STDERR_FILENO, STDERR_FILENO])
          return LoopError?.none
        } catch {
          return error
        }
      }
      #expect(noneLeft?.code == EMFILE && noneLeft?.advice == "raise the limit on open files")
      #expect(openDescriptorCount() < before + 20)
    }
  }
}
