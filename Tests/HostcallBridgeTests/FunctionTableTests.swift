import HostcallTestSupport
import Testing

@testable import HostcallBridge

/// ``FunctionTable`` against a plain dictionary and a search of all patterns.
@Suite struct FunctionTableTests {
  private static let names = ["a", "a.b", "a.b.c", "a.b.cc", "ab", "b.a", "hostcall", "hostcall.a", "c.d.e.f"]
  private static let patterns = ["*", "a.*", "a.b.*", "b.*", "c.*", "c.d.*", "c.d.e.*", "hostcall.*"]

  private struct Known {
    var slot: Slot
    var references = 0
    var registrations: [Slot] = []
    var queued: UInt32 = 0
  }

  private func serving(_ name: String, _ known: [String: Known]) -> String? {
    if known[name]?.registrations.isEmpty == false { return name }
    if name.hasSuffix("*") || name.hasPrefix("hostcall.") { return nil }
    return known.filter {
      $0.key.hasSuffix("*") && name.hasPrefix($0.key.dropLast()) && !$0.value.registrations.isEmpty
    }
    .keys.max { $0.count < $1.count }
  }

  @Test(arguments: 0..<12 as Range<UInt64>)
  func aNameMeansWhatItShould(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var table = FunctionTable()
    var known: [String: Known] = [:]
    let more = (0..<random.pick([0, 100])).map { "more.n\($0)" }
    let all = Self.names + Self.patterns + more
    for step in 0..<300 {
      let name = random.pick(all)
      var function = known[name] ?? Known(slot: bytes(name) { table.findOrInsert($0) })
      table.retain(function.slot)
      function.references += 1
      switch random.below(5) {
      case 0:
        table.addRegistration(Slot(step), to: function.slot)
        table.retain(function.slot)
        function.references += 1
        function.registrations.append(Slot(step))
      case 1 where !function.registrations.isEmpty:
        table.removeRegistration(function.registrations.remove(at: 0), from: function.slot)
        table.release(function.slot)
        function.references -= 1
      case 2:
        function.queued = UInt32(random.below(2))
        table[function.slot].queue.count = function.queued
        table.queueChanged(function.slot)
      default: break
      }
      known[name] = function
      try release(name, &known, &table, all: random.chance(60))
      check(&table, known, all)
    }
  }

  /// Takes away one reference or all that nothing needs.
  private func release(
    _ name: String, _ known: inout [String: Known], _ table: inout FunctionTable, all: Bool
  ) throws {
    var function = try #require(known[name])
    let needed = function.registrations.count + Int(function.queued)
    while function.references > max(needed, all ? 0 : 1) {
      table.release(function.slot)
      function.references -= 1
    }
    known[name] = function.references == 0 ? nil : function
  }

  private func check(_ table: inout FunctionTable, _ known: [String: Known], _ all: [String]) {
    #expect(table.count == known.count && Set(table.all) == Set(known.values.map(\.slot)))
    #expect(Set(table.withQueue) == Set(known.values.filter { $0.queued > 0 }.map(\.slot)))
    #expect(table.withQueue.count == known.values.count { $0.queued > 0 })
    for name in Self.names + Self.patterns + [all[all.count - 1]] {
      #expect(bytes(name) { table.find($0) } == known[name]?.slot)
      let meant = serving(name, known).flatMap { known[$0]?.slot }
      if let slot = known[name]?.slot {
        let found = table.serving(slot)
        #expect(found == meant, "\(name)")
      }
      if !name.hasSuffix("*") {
        let found = bytes(name) { table.serving($0) }
        #expect(found == meant, "\(name)")
        let queued = known.filter { key, function in
          key.hasSuffix("*") && function.queued > 0 && name.hasPrefix(key.dropLast()) && !name.hasPrefix("hostcall.")
        }
        #expect(Set(bytes(name) { table.queuedPatterns(matching: $0) }) == Set(queued.values.map(\.slot)))
      }
    }
  }

  private func bytes<Result>(_ name: String, _ use: (UnsafeRawBufferPointer) -> Result) -> Result {
    Array(name.utf8).withUnsafeBytes(use)
  }
}
