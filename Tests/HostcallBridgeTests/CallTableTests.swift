import HostcallTestSupport
import Testing

@testable import HostcallBridge

/// ``CallTable`` and its lists against plain arrays.
@Suite struct CallTableTests {
  private struct TableIsFull: Error {}

  @Test(arguments: 0..<20 as Range<UInt64>)
  func placesAreRememberedAndIDsNeverIssuedTwice(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let most = random.pick([1, 3, 50])
    let remembered = random.pick([1, 2, 16])
    var table = CallTable(callsInFlight: most, remembered: remembered)
    var active: [CorrelationID] = []
    var ended: [CorrelationID] = []
    var issued: Set<CorrelationID> = []
    for _ in 0..<1_000 {
      if random.chance(55), active.count < most {
        guard let slot = table.allocate() else { throw TableIsFull() }
        let id = table.id(slot)
        table[slot].state = .running
        #expect(id.slot == slot && id.rawValue != 0 && issued.insert(id).inserted)
        active.append(id)
      } else if !active.isEmpty {
        let id = active.remove(at: random.below(active.count))
        table.release(id.slot)
        ended.append(id)
      }
      #expect(table.active == active.count && table.records.count <= most + remembered)
      #expect(active.allSatisfy { table[$0.slot].turn == $0.turn && table[$0.slot].state == .running })
      #expect(ended.suffix(remembered).allSatisfy { table[$0.slot].turn == $0.turn && table[$0.slot].state == .free })
    }
  }

  @Test func aFullTableGivesNothing() {
    var table = CallTable(callsInFlight: 2, remembered: 3)
    var count = 0
    while table.allocate() != nil { count += 1 }
    #expect((2...5).contains(count) && table.active == count)
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func listsKeepTheirOrder(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var table = CallTable(callsInFlight: 100, remembered: 4)
    var callers = [CallList](repeating: CallList(), count: 3)
    var queues = [CallList](repeating: CallList(), count: 3)
    var callersModel = [[Slot]](repeating: [], count: 3)
    var queuesModel = [[Slot]](repeating: [], count: 3)
    for _ in 0..<600 {
      let list = random.below(3)
      switch random.below(3) {
      case 0 where table.active < 40:
        guard let slot = table.allocate() else { throw TableIsFull() }
        table.appendToCaller(slot, &callers[list])
        callersModel[list].append(slot)
        let queue = random.below(3)
        table.insertByArrival(slot, to: &queues[queue])
        queuesModel[queue].append(slot)
      case 1:
        // To another queue, or out of all.
        guard let slot = queuesModel[list].randomElement(using: &random) else { continue }
        table.removePlace(slot, from: &queues[list])
        queuesModel[list].removeAll { $0 == slot }
        if random.chance(50) {
          let other = random.below(3)
          table.insertByArrival(slot, to: &queues[other])
          queuesModel[other].append(slot)
          queuesModel[other].sort { table[$0].arrival < table[$1].arrival }
        } else {
          let caller = try #require(callersModel.firstIndex { $0.contains(slot) })
          table.removeFromCaller(slot, &callers[caller])
          callersModel[caller].removeAll { $0 == slot }
          table.release(slot)
        }
      default: break
      }
      for place in 0..<3 {
        #expect(walk(callers[place]) { table[$0].callerLink } == callersModel[place])
        #expect(walk(queues[place]) { table[$0].placeLink } == queuesModel[place])
      }
    }
  }

  /// The list from its first to its last, or nothing where its links or its count are wrong.
  private func walk(_ list: CallList, _ link: (Slot) -> CallLink) -> [Slot]? {
    var found: [Slot] = []
    var slot = list.first
    while slot != .none, found.count <= Int(list.count) {
      guard link(slot).previous == found.last ?? .none else { return nil }
      found.append(slot)
      slot = link(slot).next
    }
    return found.count == Int(list.count) && list.last == found.last ?? .none ? found : nil
  }

  @Test func bodiesAreCounted() throws {
    var table = CallTable(callsInFlight: 10, remembered: 1)
    guard let first = table.allocate() else { throw TableIsFull() }
    guard let second = table.allocate() else { throw TableIsFull() }
    [1, 2, 3].withUnsafeBytes { table.keepBody(StoredBody(copying: $0), for: first) }
    table.keepBody(StoredBody(copying: UnsafeRawBufferPointer(start: nil, count: 0)), for: second)
    #expect(table.storedBytes == 24 && table.body(second)?.bytes.count == 0)
    table.dropBody(first)
    table.dropBody(first)
    #expect(table.storedBytes == 0 && table.body(first) == nil)
    [1].withUnsafeBytes { table.keepBody(StoredBody(copying: $0), for: first) }
    [1, 2].withUnsafeBytes { table.keepBody(StoredBody(copying: $0), for: first) }
    #expect(table.storedBytes == 16)
    table.release(first)
    #expect(table.storedBytes == 0)
  }
}
