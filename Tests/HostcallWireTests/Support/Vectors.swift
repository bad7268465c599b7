import Foundation
import HostcallWire
import Testing

/// What `protocol-vectors.json` holds.
struct Vectors: Decodable, Sendable {
  /// Bytes that are a frame, and what they mean.
  struct Accepted: Decodable, Sendable, CustomTestStringConvertible {
    let what: String
    let way: String
    let bytes: String
    let kind: String
    let flags: UInt8
    let encoding: UInt8
    let status: UInt8
    let id: String
    let function: UInt32
    let timeout: UInt32
    let aux: UInt32
    let name: String
    let metadata: [String: String]
    let payload: String

    var testDescription: String { what }

    var direction: FrameDirection {
      switch way {
      case "P>D": .toDaemon
      case "D>P": .toPeer
      default: fatalError("the vector “\(what)” goes the unknown way \(way)")
      }
    }
  }

  /// Bytes that the daemon must refuse.
  struct Refused: Decodable, Sendable, CustomTestStringConvertible {
    let what: String
    let afterHello: Bool
    let bytes: String

    var testDescription: String { what }

    enum CodingKeys: String, CodingKey {
      case what
      case afterHello = "after_hello"
      case bytes
    }
  }

  let version: UInt32
  let frames: [Accepted]
  let refused: [Refused]

  static let all: Vectors = {
    let url = Bundle.module.url(forResource: "protocol-vectors", withExtension: "json")!
    return try! JSONDecoder().decode(Vectors.self, from: Data(contentsOf: url))
  }()
}

/// The bytes that a text of hexadecimal digits stands for.
func bytes(hex: String) -> [UInt8] {
  let digits = hex.utf8.map { digit in UInt8(Character(UnicodeScalar(digit)).hexDigitValue!) }
  precondition(digits.count.isMultiple(of: 2))
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
