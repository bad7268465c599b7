import ArgumentParser
import HostcallWire

/// `hostcall`: everything that a person or a script asks of a daemon.
struct HostcallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hostcall",
    abstract: "Calls functions of other programs, and offers some, through the daemon hostcalld.",
    discussion: """
      The daemon's socket is --socket, else $HOSTCALL_SOCKET, else hostcall.sock in $RUNTIME_DIRECTORY, in \
      $XDG_RUNTIME_DIR or, for root, in /run/hostcall.

      Example:
        hostcall serve upper -- tr a-z A-Z &
        hostcall call upper hello

      Exit status: 0 done, 1 the function failed (can: the user may not), 2 the daemon was not reached or the connection was lost, 3 no \
      outcome in time, 4 nobody has the function, 5 any other answer of the daemon, 64 wrong arguments, 66 the \
      input cannot be read, 74 the output cannot be written, 128 and the signal's number after a signal.
      """,
    version: "hostcall \(HostcallVersion.current)",
    subcommands: [
      CallCommand.self, ServeCommand.self, PublishCommand.self, WatchCommand.self, FunctionsCommand.self,
      PeersCommand.self, CallsCommand.self,
      InfoCommand.self, StatsCommand.self, CanCommand.self, PingCommand.self, BenchCommand.self,
    ])
}
