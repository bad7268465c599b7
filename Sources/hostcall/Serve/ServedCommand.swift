import Glibc
import HostcallClient
import Subprocess
import SystemPackage

/// A command that answers calls: runs it as a process of its own for each.
///
/// On top of `Subprocess` it keeps two promises: a whole process group ends with its leader, and output has a limit.
struct ServedCommand: Sendable {
  let program: ServedProgram
  let resultEncoding: PayloadEncoding
  /// Between SIGTERM and SIGKILL.
  let grace: Duration
  let socketPath: String
  let processes: ServedProcesses

  /// What was read of standard output.
  private enum Result {
    case bytes([UInt8])
    case tooLarge
  }

  /// What a process has left.
  private struct Outcome {
    let result: Result
    let errors: OutputTail
  }

  private typealias Running = Execution<CustomWriteInput, SequenceOutput, SequenceOutput>

  /// Runs the command for a call.
  ///
  /// It returns when the process has ended, also where the task was cancelled. Errors: ``HostcallFailure``.
  func answer(_ request: HostcallRequest, largestResultBytes: Int) async throws -> HostcallReply {
    processes.callBegan()
    defer { processes.callEnded() }
    let ended: ExecutionResult<Outcome, SequenceOutput, SequenceOutput>
    do {
      ended = try await run(
        program.executable, arguments: program.arguments, environment: environment(for: request),
        platformOptions: platformOptions, input: .inputWriter, output: .sequence, error: .sequence
      ) { running in
        try await serve(running, request.payload, largestResultBytes)
      }
    } catch let error as SubprocessError {
      throw HostcallFailure(status: .failed, payload: "\(program.words[0]) cannot be run: \(Self.reason(error))")
    }
    return try reply(ended.closureResult, ended.terminationStatus, largestResultBytes)
  }

  // MARK: The process

  /// A session of its own, so that the terminal's Ctrl-C is for `serve` alone to handle.
  private var platformOptions: PlatformOptions {
    var options = PlatformOptions()
    options.createSession = true
    options.teardownSequence = ending
    return options
  }

  /// SIGTERM for the group; `Subprocess` adds the SIGKILL.
  private var ending: [TeardownStep] {
    [.send(signal: .terminate, toProcessGroup: true, allowedDurationToNextStep: grace)]
  }

  private func environment(for request: HostcallRequest) -> Environment {
    let variables = CommandEnvironment.variables(
      for: request, socketPath: socketPath, inheritedNames: InheritedEnvironment.names)
    return .inherit.updating(
      Dictionary(
        uniqueKeysWithValues: variables.compactMap { name, value in
          Environment.Key(rawValue: name).map { ($0, value) }
        }))
  }

  /// Feeds and reads one process until it has ended.
  private func serve(_ running: Running, _ payload: [UInt8], _ largestResultBytes: Int) async throws -> Outcome {
    let leader = running.processIdentifier.value
    processes.started(leader)
    async let result = readResult(of: running, largestResultBytes)
    async let errors = readErrors(of: running)
    // A command need not read what it is given.
    _ = try? await running.standardInputWriter.write(payload)
    try? await running.standardInputWriter.finish()
    let outcome = await Outcome(result: result, errors: errors)
    await waitForEnd(of: running)
    // The process is not waited for before this returns, so the number is still its own.
    processes.ended(leader)
    return outcome
  }

  /// Waits until the leader has ended: signal 0 asks for nothing, and the time until the next step is without end.
  private func waitForEnd(of running: Running) async {
    await running.teardown(using: [
      .send(signal: Signal(rawValue: 0), allowedDurationToNextStep: .seconds(1 << 32))
    ])
  }

  private func readResult(of running: Running, _ largestBytes: Int) async -> Result {
    var bytes: [UInt8] = []
    do {
      for try await piece in running.standardOutput {
        guard bytes.count + piece.count <= largestBytes else {
          await running.teardown(using: ending)
          return .tooLarge
        }
        piece.withUnsafeBytes { bytes.append(contentsOf: $0) }
      }
    } catch {
      // A pipe that cannot be read any more has ended; the exit status says the rest.
    }
    return .bytes(bytes)
  }

  /// Keeps the last of standard error and passes all of it on.
  private func readErrors(of running: Running) async -> OutputTail {
    var tail = OutputTail()
    do {
      for try await piece in running.standardError {
        let bytes = piece.withUnsafeBytes { Array($0) }
        tail.append(bytes)
        try? StandardStreams.write(bytes, to: STDERR_FILENO)
      }
    } catch {
      // As above.
    }
    return tail
  }

  // MARK: The answer

  private func reply(
    _ outcome: Outcome, _ status: TerminationStatus, _ largestResultBytes: Int
  ) throws(HostcallFailure) -> HostcallReply {
    guard case .bytes(let bytes) = outcome.result else {
      throw HostcallFailure(
        status: .failed,
        payload: "the output of \(program.words[0]) is larger than \(largestResultBytes) bytes, the most that the "
          + "daemon takes (frame-bytes)")
    }
    guard !status.isSuccess else { return HostcallReply(bytes, encoding: resultEncoding) }
    let text = outcome.errors.text
    throw HostcallFailure(
      status: .failed, payload: text.isEmpty ? "\(program.words[0]) \(Self.text(status))" : text,
      metadata: Self.metadata(status))
  }

  private static func text(_ status: TerminationStatus) -> String {
    switch status {
    case .exited(let code): "exited with status \(code)"
    case .signaled(let number): "was ended by signal \(number)"
    }
  }

  /// For callers that want to tell one failure from another.
  private static func metadata(_ status: TerminationStatus) -> Metadata {
    switch status {
    case .exited(let code): ["exit-status": "\(code)"]
    case .signaled(let number): ["exit-signal": "\(number)"]
    }
  }

  private static func reason(_ error: SubprocessError) -> String {
    error.underlyingError.map { Diagnostics.reason($0.rawValue) } ?? error.description
  }
}
