import HostcallFunctions
import HostcallLoop
import HostcallWire

// Subscriptions, made once and made again on every new connection, their events, and what is published.
extension ClientConnection {
  // MARK: Subscribing

  /// A new consumer; the answer comes when its events do.
  func subscribe(
    _ buffer: EventBuffer, to pattern: String, _ answer: @escaping Answer<HostcallError?>
  ) {
    _ = consumers.add(buffer, to: pattern)
    if let record = subscriptions[pattern] {
      guard record.state == .new else { return answer(nil) }
      record.waiters.append(answer)
      return
    }
    let record = SubscriptionRecord(pattern)
    record.waiters = [answer]
    subscriptions[pattern] = record
    submit(.subscribe(record))
    // A phase that takes nothing has answered already.
    if record.state == .ended { forget(record, nil) }
  }

  /// A consumer has gone. With the last one of its pattern the subscription ends.
  func unsubscribe(_ buffer: EventBuffer, from pattern: String) {
    guard consumers.remove(buffer, from: pattern), let record = subscriptions.removeValue(forKey: pattern) else {
      return
    }
    record.state = .ended
    if let link, record.isSubscribing || record.isSubscribed { transmit(.unsubscribe(pattern), link) }
    closeIfAbandoned()
  }

  /// Writes SUBSCRIBE.
  func transmitSubscription(_ record: SubscriptionRecord, _ link: ClientLink) {
    if record.state == .ended { return }
    if let error = link.lack(of: .events) {
      record.answer(error.about(record.pattern))
      return forget(record, error.about(record.pattern))
    }
    let id = nextRequestID()
    record.isSubscribing = true
    link.hasSubscribed = true
    link.requests[id] = .subscribe(record)
    link.append(FrameHeader(kind: .subscribe, id: id), name: record.pattern)
  }

  /// RESULT of SUBSCRIBE has come.
  func finishSubscribing(_ record: SubscriptionRecord, _ frame: DecodedFrame) {
    record.isSubscribing = false
    if record.state == .ended { return }
    if frame.header.status == .ok {
      record.isSubscribed = true
      record.state = .established
      return record.answer(nil)
    }
    let error = HostcallError(frame, function: record.pattern)
    let isTransient = [.overloaded, .shuttingDown, .unavailable].contains(frame.header.status)
    if record.state == .established, isTransient {
      eventsContinuation.yield(.subscriptionFailed(error))
      let delay = registrationBackoff.nextDelayMilliseconds()
      madeHandles().registrationTimer.schedule(afterMilliseconds: delay)
    } else {
      record.answer(error)
      forget(record, error)
    }
  }

  /// A new connection is there: what was subscribed to before is subscribed to again, with a gap.
  func subscribeAnew(_ link: ClientLink) {
    for pattern in subscriptions.keys.sorted() {
      guard let record = subscriptions[pattern], record.state == .established else { continue }
      consumers.noteGap(pattern)
      transmitSubscription(record, link)
    }
  }

  /// Tries once more with what the daemon has not taken back.
  func subscribeAgain(_ link: ClientLink) {
    for record in subscriptions.values where !record.isSubscribed && !record.isSubscribing {
      transmitSubscription(record, link)
    }
  }

  /// The connection has ended: subscriptions that the daemon never took are over, the others come back.
  func dropSubscriptions(_ error: HostcallError) {
    for record in subscriptions.values {
      record.isSubscribing = false
      record.isSubscribed = false
      if record.state != .established { forget(record, error) }
    }
  }

  private func forget(_ record: SubscriptionRecord, _ error: HostcallError?) {
    record.state = .ended
    guard subscriptions[record.pattern] === record else { return }
    subscriptions[record.pattern] = nil
    consumers.end(record.pattern, error)
  }

  /// EVENT has come.
  func receiveEvent(_ frame: DecodedFrame, _ link: ClientLink) throws(ProtocolViolation) {
    guard link.hasSubscribed else { throw ProtocolViolation("EVENT without a subscription") }
    consumers.deliver(frame)
  }

  // MARK: Publishing

  /// Something is to be published.
  func publish(_ publication: OutgoingPublication) {
    submit(.publish(publication))
  }

  /// Writes PUBLISH.
  func transmitPublication(_ publication: OutgoingPublication, _ link: ClientLink) {
    let parameters = publication.parameters
    if let error = link.lack(of: .events) { return publication.fail(error) }
    if let error = refusal(of: parameters.bodyBytes, "the event", link) { return publication.fail(error) }
    let id = publication.wantsAnswer ? nextRequestID() : 0
    link.append(
      parameters.header(request: id), name: parameters.name, metadata: parameters.metadata,
      payload: parameters.payload)
    if publication.wantsAnswer {
      link.requests[id] = .publish(publication)
    } else {
      publication.end(.success(0))
    }
  }

  /// RESULT of PUBLISH has come.
  func finishPublishing(_ publication: OutgoingPublication, _ frame: DecodedFrame) {
    publication.end(
      frame.header.status == .ok
        ? .success(Int(frame.header.aux))
        : .failure(HostcallError(frame, function: publication.parameters.name)))
  }
}
