import HostcallTestSupport
import Testing

@testable import HostcallBridge

/// ``RequestIndex`` against a plain dictionary.
@Suite struct RequestIndexTests {
  private struct Key: Hashable {
    let caller: Slot
    let request: UInt64
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func findsWhatIsThereAndNothingElse(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    // With the secret 0 and few bits to choose from, many collide.
    var index = RequestIndex(secret: seed % 2 == 0 ? 0 : random.next())
    var model: [Key: Slot] = [:]
    let most = random.pick([5, 31, 32, 33, 300])
    for step in 0..<2_000 {
      let key = Key(caller: Slot(random.below(3)), request: random.next() & random.pick([7, 0xff, .max]))
      switch random.below(3) {
      case 0 where model.count < most && model[key] == nil:
        index.insert(caller: key.caller, request: key.request, call: Slot(step))
        model[key] = Slot(step)
      case 1:
        guard let gone = model.keys.randomElement(using: &random) else { continue }
        index.remove(caller: gone.caller, request: gone.request)
        model[gone] = nil
      default: #expect(index.find(caller: key.caller, request: key.request) == model[key])
      }
      #expect(index.count == model.count)
    }
    #expect(model.allSatisfy { index.find(caller: $0.key.caller, request: $0.key.request) == $0.value })
  }
}
