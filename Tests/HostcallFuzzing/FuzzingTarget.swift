/// A part that sees bytes from outside, and what must hold for it whatever they are.
package enum FuzzingTarget: String, Sendable, CaseIterable {
  case decoder
  case bridge
  case configuration

  /// Plays one input: it must not trap, and what must hold must hold.
  package func play(_ input: UnsafeRawBufferPointer) throws(FuzzingFailure) {
    switch self {
    case .decoder: try DecoderFuzzing.play(input)
    case .bridge: try BridgeFuzzing.play(input)
    case .configuration: try ConfigurationFuzzing.play(input)
    }
  }
}

/// Something does not hold for an input.
package struct FuzzingFailure: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) {
    self.description = description
  }
}
