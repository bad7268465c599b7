import Testing

@testable import HostcallBridge

/// ``Places``: records stay where they are, whatever comes and goes, and none is kept longer than it is there.
@Suite struct PlacesTests {
  /// Counts how many of it are there.
  private final class Counted {
    private let counter: Counter
    let number: Int

    init(_ number: Int, _ counter: Counter) {
      self.number = number
      self.counter = counter
      counter.count += 1
    }

    deinit {
      counter.count -= 1
    }
  }

  private final class Counter {
    var count = 0
  }

  /// More than one segment has room for.
  private let many = 20_000

  @Test func everyRecordIsFoundAtItsPlace() {
    var places = Places<Int>()
    for number in 0..<many { places.append(number * 3) }
    for number in 0..<many { places[number] += 1 }
    let isRight = places.indices.allSatisfy { places[Slot($0)] == $0 * 3 + 1 }
    #expect(isRight)
  }

  @Test func recordsGoWithTheirTable() {
    let counter = Counter()
    do {
      var places = Places<Counted?>(repeating: nil, count: 10)
      for number in 0..<many { places.append(Counted(number, counter)) }
      places[15] = nil
      #expect(counter.count == many - 1)
    }
    #expect(counter.count == 0)
  }

  @Test func freePlacesAreUsedAgainAndAnUnusedEndIsDropped() {
    let counter = Counter()
    var places = Places<Counted?>()
    var free: [Slot] = []
    for number in 0..<many { _ = places.insert(Counted(number, counter), reusing: &free) }
    for slot in 5..<Slot(many) {
      places[slot] = nil
      free.append(slot)
    }
    let reused = places.insert(Counted(-1, counter), reusing: &free)
    #expect(reused == Slot(many - 1) && counter.count == 6)
    places[reused] = nil
    free.append(reused)
    let isDropped = places.dropUnusedEnd(&free) { $0 == nil }
    let count = places.count
    #expect(isDropped && count == 5 && free.isEmpty && counter.count == 5)
    let next = places.insert(Counted(7, counter), reusing: &free)
    let number = places[next]?.number
    #expect(next == 5 && number == 7)
  }

  @Test func whereTheEndIsInUseNothingIsDropped() {
    var places = Places<Int>(repeating: 0, count: many)
    places[many - 1] = 1
    var free = Array(0..<Slot(many - 1))
    let isDropped = places.dropUnusedEnd(&free) { $0 == 0 }
    let count = places.count
    #expect(!isDropped && count == many && free.count == many - 1)
  }
}
