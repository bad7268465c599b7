import HostcallClient
import HostcallLoop

/// A command that answers calls: runs it as a process of its own for each.
struct ServedCommand: Sendable {
  let program: ServedProgram
  let resultEncoding: PayloadEncoding
  /// Between SIGTERM and SIGKILL.
  let grace: Duration
  let socketPath: String
  let processes: ServedProcesses

  /// Runs the command for a call.
  ///
  /// It returns when the process has ended, also where the task was cancelled. Errors: ``HostcallFailure``.
  func answer(_ request: HostcallRequest, largestResultBytes: Int) async throws -> HostcallReply {
    processes.callBegan()
    defer { processes.callEnded() }
    let outcome: CommandOutcome
    do {
      outcome = try await run(request, largestResultBytes).get()
    } catch {
      throw HostcallFailure(status: .failed, payload: error.description)
    }
    return try reply(outcome, largestResultBytes)
  }

  /// Runs the command on a thread of its own, which may block.
  private func run(
    _ request: HostcallRequest, _ largestResultBytes: Int
  ) async throws(LoopError) -> Result<CommandOutcome, LoopError> {
    let watch = try CommandWatch()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        do throws(LoopError) {
          try SystemThread(named: "command") {
            continuation.resume(returning: exchange(request, largestResultBytes, watch))
          }.detach()
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      watch.cancel()
    }
  }

  private func exchange(
    _ request: HostcallRequest, _ largestResultBytes: Int, _ watch: CommandWatch
  ) -> Result<CommandOutcome, LoopError> {
    let environment = CommandEnvironment.entries(
      for: request, socketPath: socketPath, inherited: CommandEnvironment.inherited)
    do throws(LoopError) {
      let process = try request.descriptors.withNumbers { passed throws(LoopError) in
        try processes.start(program, environment: environment, passed: passed, watch)
      }
      // They are the command's alone now: whoever waits for the end of a pipe waits for the command.
      request.descriptors.closeAll()
      let exchange = CommandExchange(
        process, processes, watch, payload: request.payload, largestResultBytes: largestResultBytes, grace: grace)
      return .success(exchange.run())
    } catch {
      return .failure(error)
    }
  }

  private func reply(_ outcome: CommandOutcome, _ largestResultBytes: Int) throws(HostcallFailure) -> HostcallReply {
    guard let result = outcome.result else {
      throw HostcallFailure(
        status: .failed,
        payload: "the output of \(program.words[0]) is larger than \(largestResultBytes) bytes, the most that the "
          + "daemon takes (frame-bytes)")
    }
    switch outcome.ending {
    case .exited(0): return HostcallReply(result, encoding: resultEncoding)
    case .exited(let status):
      throw failure(outcome, "exited with status \(status)", metadata: ["exit-status": "\(status)"])
    case .signalled(let number):
      throw failure(outcome, "was ended by signal \(number)", metadata: ["exit-signal": "\(number)"])
    }
  }

  /// The metadata is for callers that want to tell one failure from another.
  private func failure(_ outcome: CommandOutcome, _ ending: String, metadata: Metadata) -> HostcallFailure {
    let text = outcome.errors.text
    return HostcallFailure(
      status: .failed, payload: text.isEmpty ? "\(program.words[0]) \(ending)" : text, metadata: metadata)
  }
}
