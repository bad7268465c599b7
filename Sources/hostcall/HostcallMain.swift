import ArgumentParser
import Glibc
import HostcallClient
import HostcallLoop

/// The program: runs the command that the arguments name, and turns whatever stops it into one line and an exit status.
@main
enum HostcallMain {
  static func main() async {
    StandardDescriptors.keepApart()
    Interruption.begin()
    do {
      var command = try await HostcallCommand.asyncParseAsRoot()
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch let error as HostcallError {
      leave(error.description, error.exitStatus)
    } catch let error as CommandFailure {
      leave(error.message, error.status)
    } catch {
      HostcallCommand.exit(withError: error)
    }
  }

  private static func leave(_ message: String?, _ status: ExitStatus) -> Never {
    if let message { Diagnostics.write(message) }
    exit(status.rawValue)
  }
}

/// Why a command ends otherwise than well, where no ``HostcallError`` says it.
struct CommandFailure: Error, Equatable {
  /// What to tell; nil where nothing is to be said, as when nobody reads the output any more.
  let message: String?
  let status: ExitStatus

  init(_ message: String?, _ status: ExitStatus) {
    self.message = message
    self.status = status
  }
}
