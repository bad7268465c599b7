import HostcallFunctions

/// Something on its way to be published.
struct OutgoingPublication {
  let parameters: PublicationParameters
  /// Whether the daemon is to say how many subscribers there were.
  let wantsAnswer: Bool
  /// Told the number of subscribers, or 0 where that is not wanted.
  let answer: Answer<Result<Int, HostcallError>>

  func end(_ outcome: Result<Int, HostcallError>) {
    answer(outcome)
  }

  func fail(_ error: HostcallError) {
    end(.failure(error.function == nil ? error.about(parameters.name) : error))
  }
}
