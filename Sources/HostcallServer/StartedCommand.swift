import HostcallBridge
import HostcallLoop

/// A command that serves as a worker, as the file beside the socket has it. Its version is its own: a daemon that cannot
/// read the state of another version still has to know what that one has started.
struct StartedCommand {
  /// Grows with every change of what is written.
  static let version: UInt32 = 1
  static let envelope = StateEnvelope(of: "a list of workers that hostcalld has started", version: (version, 0))

  /// As the configuration calls it.
  var worker = ""
  /// The program and its arguments.
  var words: [String] = []
  /// How long it may take to end when it is told to.
  var stopMilliseconds: UInt32 = 0
  var processID: Int32 = 0
  var startTicks: UInt64 = 0

  static func code(_ commands: inout [StartedCommand], _ coder: inout StateCoder) throws(StateError) {
    try coder.code(&commands, of: StartedCommand()) { (coder, command) throws(StateError) in
      try coder.code(&command.worker)
      try coder.code(&command.words, of: "") { (coder, word) throws(StateError) in try coder.code(&word) }
      try coder.code(&command.stopMilliseconds)
      try coder.code(&command.processID)
      try coder.code(&command.startTicks)
    }
  }
}

/// One that is there.
struct RunningCommand {
  let command: StartedCommand
  let process: LoopProcess
}
