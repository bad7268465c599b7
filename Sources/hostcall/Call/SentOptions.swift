import ArgumentParser
import HostcallClient
import HostcallWire

/// What goes along with a payload, of a call or of an event.
struct SentOptions: ParsableArguments {
  @Option(help: ArgumentHelp("What the payload's bytes are.", valueName: "encoding"))
  var encoding: PayloadEncoding = .raw

  @Option(
    help: ArgumentHelp("Metadata to go with it; may be given several times.", valueName: "key=value"),
    transform: MetadataArgument.parse)
  var meta: [MetadataArgument] = []

  func validate() throws {
    _ = try metadata()
  }

  func metadata() throws(ValidationError) -> Metadata { try MetadataArgument.metadata(meta) }

  /// Bytes of the largest body that the daemon takes.
  static func limitBytes(_ client: HostcallClient) async -> Int {
    await client.serverInformation?.largestFrameBytes ?? Int(UInt32.max)
  }

  /// Reads the PAYLOAD. Errors: it cannot be read, or is larger than the daemon takes.
  func read(_ payload: String?, for name: String, _ client: HostcallClient) async throws -> [UInt8] {
    let limitBytes = await Self.limitBytes(client)
    let bytes = try PayloadArgument(payload).bytes(limitBytes: limitBytes)
    guard bytes.count <= limitBytes else {
      throw HostcallError(
        .status(.tooLarge), function: name,
        message: "the payload is larger than \(HumanText.bytes(UInt64(limitBytes))), the most that the daemon takes")
    }
    return bytes
  }
}
