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

      With --stream the items that the function sends are written as they come, a line each, and the result behind \
      them, if it is not empty. Whoever reads them slowly slows the function.

      Example:
        hostcall call upper hello
        hostcall call thumbnail @photo.jpg --timeout 2s > small.jpg
        echo '{"user":1}' | hostcall call user.get - --encoding json --meta by=me
        hostcall call log.tail --stream | grep error
        seq 1000 | hostcall call sum --items -
        hostcall call sha256 --fd /etc/hostname
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

  @OptionGroup var sent: SentOptions

  @Flag(help: "Where nobody has the function, wait for somebody until the timeout.")
  var wait = false

  @Flag(help: "The call may run twice: send it to another worker if the first one is lost.")
  var idempotent = false

  @Flag(help: "Want no result: return as soon as the daemon has the call.")
  var noReply = false

  @Flag(help: "Take the items that the function sends, and write each as a line when it comes.")
  var stream = false

  @Flag(help: "With --stream: write items one after another, exactly as they came.")
  var raw = false

  @Option(
    help: ArgumentHelp(
      "Send a stream of arguments, each line of standard input (-) or of a file (@FILE) as one.", valueName: "source"),
    completion: .file())
  var items: String?

  @Option(
    help: ArgumentHelp("Open a file for reading and pass it to the worker; up to 16 times.", valueName: "file"),
    completion: .file())
  var fd: [String] = []

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard NameRules.isName(name) else {
      throw ValidationError(
        "“\(Diagnostics.oneLine(name))” is no name of a function: letters, digits, _ and - in parts joined by dots.")
    }
    if noReply, stream || items != nil { throw ValidationError("A call without reply has no items.") }
    if raw, !stream { throw ValidationError("--raw is about the items of --stream.") }
    if let items, ItemSource(items) == nil { throw ValidationError("--items must be - or @FILE.") }
    if items == "-", payload == "-" {
      throw ValidationError("Standard input can be the payload or the items, not both.")
    }
    guard fd.count <= HostcallDescriptors.maximumCount else {
      throw ValidationError("--fd can be given \(HostcallDescriptors.maximumCount) times at most.")
    }
  }

  func run() async throws {
    // First the daemon: nobody should type input for one that is not there.
    let client = try await connection.connect()
    let limitBytes = await SentOptions.limitBytes(client)
    let call = PreparedCall(
      name: name, payload: try await sent.read(payload, for: name, client), encoding: sent.encoding, timeout: timeout,
      options: options, metadata: try sent.metadata(), fileNames: fd,
      lines: try items.flatMap(ItemSource.init).map { try InputLines($0, limitBytes: limitBytes) })
    if noReply {
      try await call.send(by: client)
      // The answer says that the daemon has seen the call before it.
      try await client.ping()
    } else {
      let (stream, raw) = (stream, raw)
      let work = Task { stream ? try await call.stream(by: client, raw: raw) : try await call.run(by: client) }
      let response = try await outcome(of: work)
      if !stream || raw || !response.payload.isEmpty { try Output.write(response.payload, asLine: stream && !raw) }
      if !response.descriptors.isEmpty {
        Diagnostics.write("the result brought \(response.descriptors.count) open files, which are closed again")
      }
    }
    await client.close()
  }

  private var options: CallOptions {
    var options: CallOptions = []
    if wait { options.insert(.wait) }
    if idempotent { options.insert(.idempotent) }
    return options
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
