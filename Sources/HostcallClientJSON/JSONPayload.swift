import FoundationEssentials
import HostcallClient
import HostcallWire

/// A value as JSON.
struct JSONPayload: HostcallPayload {
  let payloadBytes: ArraySlice<UInt8>
  var payloadEncoding: PayloadEncoding { .json }

  init(_ value: some Encodable, for function: String) throws(HostcallError) {
    do {
      payloadBytes = ArraySlice(try JSONEncoder().encode(value))
    } catch {
      throw HostcallError(
        .status(.serialization), function: function, message: "the payload cannot be encoded as JSON: \(error)")
    }
  }
}
