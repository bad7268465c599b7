import ArgumentParser
import HostcallClient
import HostcallWire

/// `hostcall call`: one call, its result on standard output.
struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call",
    abstract: "Call a function and write its result to standard output.",
    discussion: """
      The result is written exactly as it came; only on a terminal an unfinished line is ended. An interrupt (Ctrl-C) \
      cancels the call at its worker.

      Example:
        hostcall call upper hello
        hostcall call thumbnail @photo.jpg --timeout 2s > small.jpg
        echo '{"user":1}' | hostcall call user.get - --encoding json --meta by=me
      """)

  @Argument(help: "The function's name, such as token.fetch.", completion: .custom(FunctionNames.complete))
  var name: String

  @Argument(
    help: "What to call it with: a text, - for standard input, or @FILE for what a file holds (default: nothing).",
    completion: .file())
  var payload: String?

  @Option(
    help: ArgumentHelp(
      "How long it may take in all, such as 250ms, 2s or 1m (default: the daemon's, 30s).", valueName: "duration"),
    transform: DurationText.parse)
  var timeout: Duration?

  @Option(help: ArgumentHelp("What the payload's bytes are.", valueName: "encoding"))
  var encoding: PayloadEncoding = .raw

  @Option(
    help: ArgumentHelp("Metadata for the worker; may be given several times.", valueName: "key=value"),
    transform: MetadataArgument.parse)
  var meta: [MetadataArgument] = []

  @Flag(help: "Where nobody has the function, wait for somebody until the timeout.")
  var wait = false

  @Flag(help: "The call may run twice: send it to another worker if the first one is lost.")
  var idempotent = false

  @Flag(help: "Want no result: return as soon as the daemon has the call.")
  var noReply = false

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard NameRules.isName(name) else {
      throw ValidationError(
        "“\(Diagnostics.oneLine(name))” is no name of a function: letters, digits, _ and - in parts joined by dots.")
    }
    _ = try MetadataArgument.metadata(meta)
  }

  func run() async throws {
    let metadata = try MetadataArgument.metadata(meta)
    var options: CallOptions = []
    if wait { options.insert(.wait) }
    if idempotent { options.insert(.idempotent) }
    // First the daemon: nobody should type input for one that is not there.
    let client = try await connection.connect()
    let payload = try await readPayload(client)
    if noReply {
      try await client.send(
        name, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata)
      // The answer says that the daemon has seen the call before it.
      try await client.ping()
    } else {
      let work = Task { [name, encoding, timeout, options] in
        try await client.call(
          name, payload, encoding: encoding, timeout: timeout, options: options, metadata: metadata)
      }
      try Output.write(try await outcome(of: work).payload)
    }
    await client.close()
  }

  private func readPayload(_ client: HostcallClient) async throws -> [UInt8] {
    let limitBytes = await client.serverInformation?.largestFrameBytes ?? Int(UInt32.max)
    let bytes = try PayloadArgument(payload).bytes(limitBytes: limitBytes)
    guard bytes.count <= limitBytes else {
      throw HostcallError(
        .status(.tooLarge), function: name,
        message: "the payload is larger than \(HumanText.bytes(UInt64(limitBytes))), the most that the daemon takes")
    }
    return bytes
  }

  /// Waits for the result. The first signal cancels the call, a second one does not wait for the daemon's word.
  private func outcome(of work: Task<HostcallResponse, any Error>) async throws -> HostcallResponse {
    Interruption.handle { number in
      if work.isCancelled { Interruption.leave(number) }
      work.cancel()
    }
    do {
      return try await work.value
    } catch let error as HostcallError {
      guard let number = Interruption.first else { throw error }
      throw CommandFailure(error.description, .signal(number))
    }
  }
}
