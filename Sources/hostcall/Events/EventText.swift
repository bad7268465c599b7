import FoundationEssentials
import HostcallClient
import HostcallFunctions

/// Events as lines.
enum EventText {
  /// For people: the name, and the payload as far as it is text.
  static func line(_ event: HostcallEvent) -> String {
    let text = Diagnostics.oneLine(PayloadText.text(event.payload[...], encoding: event.encoding))
    return text.isEmpty ? event.name : "\(event.name) \(text)"
  }

  /// For people: that events before this one are missing, nil where none are.
  static func lost(_ event: HostcallEvent) -> String? {
    let dropped =
      switch event.droppedBefore {
      case 0: String?.none
      case 1: "1 event was dropped: they are read too slowly"
      case let count: "\(count) events were dropped: they are read too slowly"
      }
    let gap = event.followsGap ? "events may be missing: the connection was lost" : nil
    let parts = [gap, dropped].compactMap(\.self)
    return parts.isEmpty ? nil : parts.joined(separator: "; ")
  }

  /// For scripts: all there is to know, on one line.
  static func json(_ event: HostcallEvent) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(EventReport(event)), as: UTF8.self)
  }
}

/// An event as `--json` writes it.
struct EventReport: Codable, Equatable {
  let name: String
  /// The payload, where it is text.
  let payload: String?
  /// The payload in Base64, where it is not.
  let payloadBase64: String?
  let encoding: String
  let metadata: [String: String]
  let place: UInt64
  let droppedBefore: Int
  let followsGap: Bool

  init(_ event: HostcallEvent) {
    name = event.name
    payload = String(validating: event.payload, as: UTF8.self)
    payloadBase64 = payload == nil ? Data(event.payload).base64EncodedString() : nil
    encoding = "\(event.encoding)"
    metadata = Dictionary(event.metadata.entries.map { ($0.key, $0.value) }) { first, _ in first }
    place = event.place
    droppedBefore = event.droppedBefore
    followsGap = event.followsGap
  }
}
