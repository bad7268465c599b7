public import ArgumentParser
public import HostcallWire

extension PayloadEncoding: ExpressibleByArgument {
  /// `raw`, `json`, `cbor`, or 128 to 255 for an encoding of the application's own.
  public init?(argument: String) {
    switch argument {
    case "raw": self = .raw
    case "json": self = .json
    case "cbor": self = .cbor
    default:
      guard let number = UInt8(argument), number >= 128 else { return nil }
      self.init(rawValue: number)
    }
  }

  /// What to write when it is left out.
  public var defaultValueDescription: String { description }

  /// The encodings with a name, for help and completion.
  public static var allValueStrings: [String] { ["raw", "json", "cbor"] }
}
