import HostcallClient

extension Agent {
  /// Makes calls, so many of them at a time, and says how long they took.
  func bench(_ command: Command) throws(Misunderstanding) {
    let client = try client()
    let tag = command.tag
    let name = try command.needed("name")
    guard let size = try command.number("size"), let calls = try command.number("calls"), calls > 0,
      let depth = try command.number("depth"), depth > 0
    else { throw Misunderstanding("size=, calls= and depth= are needed") }
    let payload = [UInt8](repeating: 0x78, count: size)
    run(tag) { () throws(HostcallError) in
      let clock = ContinuousClock()
      let start = clock.now
      let outcome = await withTaskGroup(of: Result<[Duration], HostcallError>.self) { group in
        for caller in 0..<depth {
          let share = calls / depth + (caller < calls % depth ? 1 : 0)
          group.addTask { await Self.measure(share, of: name, payload, by: client) }
        }
        var all: Result<[Duration], HostcallError> = .success([])
        for await one in group {
          all = all.flatMap { latencies in one.map { latencies + $0 } }
        }
        return all
      }
      let seconds = Self.microseconds(clock.now - start) / 1_000_000
      let latencies = try outcome.get().sorted()
      func percentile(_ part: Int) -> String {
        "\(Self.microseconds(latencies[min(latencies.count - 1, latencies.count * part / 100)]))"
      }
      return .done(tag).with("seconds", "\(seconds)").with("p50", percentile(50)).with("p99", percentile(99))
    }
  }

  private static func measure(
    _ calls: Int, of name: String, _ payload: [UInt8], by client: HostcallClient
  ) async -> Result<[Duration], HostcallError> {
    let clock = ContinuousClock()
    var latencies: [Duration] = []
    latencies.reserveCapacity(calls)
    do throws(HostcallError) {
      for _ in 0..<calls {
        let start = clock.now
        try await client.call(name, payload)
        latencies.append(clock.now - start)
      }
      return .success(latencies)
    } catch {
      return .failure(error)
    }
  }

  private static func microseconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) * 1e6 + Double(duration.components.attoseconds) / 1e12
  }
}
