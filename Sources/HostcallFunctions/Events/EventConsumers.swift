package import HostcallWire

/// The consumers of this process, by the name or pattern that they wait for: each pattern is one subscription at the
/// daemon, however many consumers share it.
///
/// Thread: the loop's, which owns it.
package struct EventConsumers {
  private var buffers: [String: [EventBuffer]] = [:]

  package init() {}

  package var isEmpty: Bool { buffers.isEmpty }

  /// Every name and pattern that somebody waits for.
  package var patterns: [String] { Array(buffers.keys) }

  package func has(_ pattern: String) -> Bool {
    buffers[pattern] != nil
  }

  /// Adds a consumer; true where it is the first of its pattern.
  package mutating func add(_ buffer: EventBuffer, to pattern: String) -> Bool {
    buffers[pattern, default: []].append(buffer)
    return buffers[pattern]?.count == 1
  }

  /// Removes a consumer; true where it was the last of its pattern.
  package mutating func remove(_ buffer: EventBuffer, from pattern: String) -> Bool {
    guard var rest = buffers[pattern] else { return false }
    rest.removeAll { $0 === buffer }
    buffers[pattern] = rest.isEmpty ? nil : rest
    return rest.isEmpty
  }

  /// Removes all consumers of a pattern, and ends them.
  package mutating func end(_ pattern: String, _ error: HostcallError?) {
    for buffer in buffers.removeValue(forKey: pattern) ?? [] { buffer.end(error) }
  }

  /// Ends all.
  package mutating func endAll(_ error: HostcallError?) {
    for pattern in patterns { end(pattern, error) }
  }

  /// The connection of these consumers was lost and made again.
  package func noteGap(_ pattern: String) {
    for buffer in buffers[pattern] ?? [] { buffer.noteGap() }
  }

  /// EVENT has come, once for all patterns that its name matches.
  package func deliver(_ frame: DecodedFrame) {
    if frame.header.aux > 0 { noteDropped(Int(frame.header.aux)) }
    if frame.isTooLarge { return noteDropped(1) }
    let event = HostcallEvent(frame)
    for buffer in consumers(of: event.name) { buffer.put(event) }
  }

  private func noteDropped(_ events: Int) {
    for buffer in buffers.values.joined() { buffer.noteDropped(events) }
  }

  /// Those who wait for a name: by itself, by the patterns above it, and by `*`.
  private func consumers(of name: String) -> [EventBuffer] {
    var found = buffers[name] ?? []
    var end = name.endIndex
    while let dot = name[..<end].lastIndex(of: ".") {
      found += buffers[name[..<dot] + ".*"] ?? []
      end = dot
    }
    return found + (buffers["*"] ?? [])
  }
}
