package import HostcallFunctions
import HostcallLoop
package import HostcallWire

// What a client does for those who have no tasks: instead of waiting, each is told once, on the loop thread, and may not
// block there. All of it may be called from any thread.
extension HostcallClient {
  /// Connects; what comes is told.
  ///
  /// - Parameter dial: gives a connected socket in place of the one that the configuration names.
  package static func connect(
    _ configuration: Configuration, dial: Dial? = nil, _ answer: @escaping Answer<Result<HostcallClient, HostcallError>>
  ) {
    let connection: ClientConnection
    do throws(HostcallError) {
      let loop = try ClientLoop.shared()
      if let dial {
        connection = ClientConnection(
          loop: loop, configuration: configuration, path: configuration.socketPath ?? "", dial: dial)
      } else {
        connection = ClientConnection(
          loop: loop, configuration: configuration, path: try configuration.resolvedSocketPath())
      }
    } catch {
      return answer(.failure(error))
    }
    connection.enter { entered in
      entered.connectFirst { error in
        answer(error.map(Result.failure) ?? .success(HostcallClient(connection)))
      }
    }
  }

  /// The way of a call that has not begun.
  package func port(_ parameters: CallParameters, payload: ArraySlice<UInt8>) -> any CallerPort {
    OutgoingCallPort(call: OutgoingCall(parameters, payload: payload), connection: connection)
  }

  /// Registers a host function whose calls are completed by hand, as by `registerManually`.
  package func register(
    _ parameters: RegistrationParameters, onCancel: @escaping @Sendable (HostcallInvocation, Status) -> Void,
    handler: @escaping @Sendable (HostcallInvocation) -> Void, _ answer: @escaping Answer<HostcallError?>
  ) -> HostcallRegistration {
    let record = RegistrationRecord(parameters, .manual(handler, onCancel: onCancel))
    connection.enter { $0.register(record, answer) }
    return HostcallRegistration(record: record, connection: connection)
  }

  /// Subscribes; the events come out of the buffer, until ``unsubscribe(_:from:)``.
  package func subscribe(_ buffer: EventBuffer, to pattern: String, _ answer: @escaping Answer<HostcallError?>) {
    connection.enter { $0.subscribe(buffer, to: pattern, answer) }
  }

  /// Ends what ``subscribe(_:to:_:)`` has begun.
  package func unsubscribe(_ buffer: EventBuffer, from pattern: String) {
    connection.enter { connection in
      connection.unsubscribe(buffer, from: pattern)
      buffer.end(nil)
    }
  }

  /// Publishes; the answer is how many subscribers there were, 0 where it is not asked for.
  package func publish(
    _ parameters: PublicationParameters, wantsAnswer: Bool, _ answer: @escaping Answer<Result<Int, HostcallError>>
  ) {
    connection.enter {
      $0.publish(OutgoingPublication(parameters: parameters, wantsAnswer: wantsAnswer, answer: answer))
    }
  }

  package func ping(_ answer: @escaping Answer<Result<Duration, HostcallError>>) {
    connection.enter { $0.ping(answer) }
  }

  /// Closes at once, as by ``close()``.
  package func close(_ answer: @escaping Answer<HostcallError?>) {
    connection.enter {
      $0.closeNow()
      $0.waitUntilClosed(answer)
    }
  }

  /// Tells when the client is closed for good, and why, as ``waitUntilClosed()`` does.
  package func whenClosed(_ answer: @escaping Answer<HostcallError?>) {
    connection.enter { $0.waitUntilClosed(answer) }
  }

  /// Leaves in good order, as by ``shutdown()``.
  package func shutDown(_ answer: @escaping Answer<HostcallError?>) {
    connection.enter { $0.shutDown(answer) }
  }
}

extension HostcallInvocation {
  /// Ends the call with any status that a worker may use.
  package func complete(with status: Status, _ reply: HostcallReply) {
    send(Completion(correlationID: request.correlationID, status: status, reply: reply))
  }
}

extension HostcallRegistration {
  /// Ends the registration, as by ``unregister()``.
  package func unregister(_ answer: @escaping Answer<HostcallError?>) {
    connection.enter { $0.unregister(record, answer) }
  }
}
