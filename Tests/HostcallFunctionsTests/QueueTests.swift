import Testing

@testable import HostcallFunctions

@Suite("A queue") struct QueueTests {
  @Test func givesBackInOrderWhateverIsPutInBetween() {
    var queue = Queue<Int>()
    var next = 0
    var expected = 0
    for round in 1...200 {
      for _ in 0..<(round % 7) {
        queue.append(next)
        next += 1
      }
      for _ in 0..<(round % 5) {
        guard let first = queue.popFirst() else { continue }
        #expect(first == expected)
        expected += 1
      }
      #expect(queue.count == next - expected)
      #expect(queue.isEmpty == (next == expected))
    }
    #expect(queue.removeAll() == Array(expected..<next))
    #expect(queue.popFirst() == nil)
  }

  @Test func changesItsOldest() {
    var queue = Queue<Int>()
    let isEmptyChanged = queue.changeFirst { $0 += 1 }
    #expect(!isEmptyChanged)
    for number in 0..<5 { queue.append(number) }
    _ = queue.popFirst()
    let isChanged = queue.changeFirst { $0 += 10 }
    #expect(isChanged)
    #expect(queue.removeAll() == [11, 2, 3, 4])
  }

  @Test func takesOneOutOfTheMiddle() {
    var queue = Queue<Int>()
    for number in 0..<5 { queue.append(number) }
    _ = queue.popFirst()
    let missing = queue.removeFirst { $0 == 0 }
    #expect(missing == nil)
    let found = queue.removeFirst { $0 == 3 }
    #expect(found == 3)
    #expect(queue.count == 3)
    #expect(queue.removeAll() == [1, 2, 4])
  }
}
