import Foundation

/// The two ways in which somebody tells a worker to leave.
enum Leaving {
  /// Runs the action at SIGTERM and SIGINT, as long as the sources that it gives back are kept.
  static func onSignals(_ leave: @escaping @Sendable () async -> Void) -> [any DispatchSourceSignal] {
    [SIGTERM, SIGINT].map { number in
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { Task { await leave() } }
      source.resume()
      return source
    }
  }

  /// Runs the action when standard input ends: a worker whose parent holds the other end leaves with its parent,
  /// however that dies.
  static func atEndOfStandardInput(_ leave: @escaping @Sendable () async -> Void) {
    Thread.detachNewThread {
      var byte: UInt8 = 0
      while read(STDIN_FILENO, &byte, 1) > 0 {}
      Task { await leave() }
    }
  }
}
