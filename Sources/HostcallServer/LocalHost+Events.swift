import HostcallFunctions
import HostcallWire

// Subscriptions of this process, their events, and what it publishes (protocol section 4, *Events*).
extension ServerCore {
  /// A new consumer; returns when its events come.
  func subscribe(_ buffer: EventBuffer, to pattern: String) async throws(HostcallError) {
    guard phase != .ended else {
      throw HostcallError(.closed, function: pattern, message: "the server has been shut down")
    }
    guard host.consumers.add(buffer, to: pattern) else { return }
    do throws(HostcallError) {
      _ = try await ask(FrameHeader(kind: .subscribe, id: host.nextRequest()), name: pattern)
    } catch {
      host.consumers.end(pattern, error)
      throw error
    }
  }

  /// A consumer has gone. With the last one of its pattern the subscription ends.
  func unsubscribe(_ buffer: EventBuffer, from pattern: String) {
    guard host.consumers.remove(buffer, from: pattern), phase != .ended else { return }
    submit(
      FrameEncoder.encode(FrameHeader(kind: .unsubscribe, id: host.nextRequest()), name: pattern), from: host.peer)
    settle()
  }

  /// How many subscribers got it.
  func publish(_ parameters: PublicationParameters) async throws(HostcallError) -> Int {
    try checkRoom(for: parameters)
    let subscribers = try await ask(
      parameters.header(request: host.nextRequest()), name: parameters.name, metadata: parameters.metadata,
      payload: parameters.payload)
    return Int(subscribers)
  }

  func publishAndForget(_ parameters: PublicationParameters) throws(HostcallError) {
    try checkRoom(for: parameters)
    submit(
      FrameEncoder.encode(
        parameters.header(request: 0), name: parameters.name, metadata: parameters.metadata,
        payload: parameters.payload),
      from: host.peer)
    settle()
  }

  private func checkRoom(for parameters: PublicationParameters) throws(HostcallError) {
    guard phase != .ended else {
      throw HostcallError(.closed, function: parameters.name, message: "the server has been shut down")
    }
    guard parameters.bodyBytes <= configuration.limits.frameBytes else {
      throw HostcallError(
        .status(.tooLarge), function: parameters.name,
        message: "the event has \(parameters.bodyBytes) bytes, and \(configuration.limits.frameBytes) are the most "
          + "(frame-bytes)")
    }
  }

  /// Hands the bridge a request of this process, and waits for the `aux` of its RESULT.
  private func ask(
    _ header: FrameHeader, name: String, metadata: Metadata = [:], payload: ArraySlice<UInt8> = []
  ) async throws(HostcallError) -> UInt32 {
    try await withCheckedContinuation { continuation in
      host.asking[header.id] = (name, continuation)
      submit(FrameEncoder.encode(header, name: name, metadata: metadata, payload: payload), from: host.peer)
      settle()
    }.get()
  }
}
