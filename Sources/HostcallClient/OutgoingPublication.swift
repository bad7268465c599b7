import HostcallFunctions

/// Something on its way to be published.
struct OutgoingPublication {
  let parameters: PublicationParameters
  /// Whether the daemon is to say how many subscribers there were.
  let wantsAnswer: Bool
  /// Told the number of subscribers, or 0 where that is not wanted.
  let continuation: CheckedContinuation<Result<Int, HostcallError>, Never>

  func end(_ outcome: Result<Int, HostcallError>) {
    continuation.resume(returning: outcome)
  }

  func fail(_ error: HostcallError) {
    end(.failure(error.function == nil ? error.about(parameters.name) : error))
  }
}
