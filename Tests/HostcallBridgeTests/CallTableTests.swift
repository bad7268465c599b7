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
        guard let call = table.allocate() else { throw TableIsFull() }
        let id = call.pointee.id
        call.pointee.state = .running
        #expect(
          id.slot == call.pointee.slot && table.find(id) == call && id.rawValue != 0 && issued.insert(id).inserted)
        active.append(id)
      } else if !active.isEmpty {
        let id = active.remove(at: random.below(active.count))
        table.release(table[id.slot])
        ended.append(id)
      }
      #expect(table.active == active.count && table.records.count <= most + remembered)
      #expect(active.allSatisfy { table.find($0)?.pointee.state == .running })
      #expect(ended.suffix(remembered).allSatisfy { table.find($0)?.pointee.state == .free })
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
    var callersModel = [[Call]](repeating: [], count: 3)
    var queuesModel = [[Call]](repeating: [], count: 3)
    for _ in 0..<600 {
      let list = random.below(3)
      switch random.below(3) {
      case 0 where table.active < 40:
        guard let call = table.allocate() else { throw TableIsFull() }
        CallTable.appendToCaller(call, &callers[list])
        callersModel[list].append(call)
        let queue = random.below(3)
        CallTable.insertByArrival(call, to: &queues[queue])
        queuesModel[queue].append(call)
      case 1:
        // To another queue, or out of all.
        guard let call = queuesModel[list].randomElement(using: &random) else { continue }
        CallTable.removePlace(call, from: &queues[list])
        queuesModel[list].removeAll { $0 == call }
        if random.chance(50) {
          let other = random.below(3)
          CallTable.insertByArrival(call, to: &queues[other])
          queuesModel[other].append(call)
          queuesModel[other].sort { $0.pointee.arrival < $1.pointee.arrival }
        } else {
          let caller = try #require(callersModel.firstIndex { $0.contains(call) })
          CallTable.removeFromCaller(call, &callers[caller])
          callersModel[caller].removeAll { $0 == call }
          table.release(call)
        }
      default: break
      }
      for place in 0..<3 {
        #expect(walk(callers[place], \.callerLink) == callersModel[place])
        #expect(walk(queues[place], \.placeLink) == queuesModel[place])
      }
    }
  }

  /// The list from its first to its last, or nothing where its links or its count are wrong.
  private func walk(_ list: CallList, _ link: KeyPath<CallRecord, CallLink>) -> [Call]? {
    var found: [Call] = []
    var next = list.first
    while let call = next, found.count <= Int(list.count) {
      guard call.pointee[keyPath: link].previous == found.last else { return nil }
      found.append(call)
      next = call.pointee[keyPath: link].next
    }
    return found.count == Int(list.count) && list.last == found.last ? found : nil
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
