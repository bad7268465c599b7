import HostcallWire

/// What can be registered and subscribed to.
package enum PatternRules {
  /// Throws `invalidArgument` where no daemon would take it.
  package static func check(_ pattern: String) throws(HostcallError) {
    guard NameRules.isName(pattern) || NameRules.isPattern(pattern) else {
      throw HostcallError(
        .invalidArgument, function: pattern,
        message: "this is not a name or pattern: 1 to 255 bytes of A-Z a-z 0-9 _ - in segments joined by dots, "
          + "or that and .* at its end, or * alone")
    }
  }
}
