import ArgumentParser
import FoundationEssentials
import Glibc
import HostcallClient
import HostcallClientJSON
import HostcallLoop
import HostcallWire

/// What policy decides about.
enum VerbArgument: String, CaseIterable, ExpressibleByArgument {
  case call, register, publish, subscribe

  /// In front of a name.
  var phrase: String { self == .subscribe ? "subscribe to" : rawValue }
  var takesPatterns: Bool { self == .register || self == .subscribe }
}

/// `hostcall can`: whether a user may do something, and why.
struct CanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "can",
    abstract: "Tell whether a user may do something, and by which rule of the daemon's policy.",
    discussion: """
      The groups of the user are those in this system's databases. Exit status 0 where the user may, 1 where not.

      Example:
        hostcall can www-data call token.fetch
        hostcall can 1001 register 'token.*'
      """)

  @Argument(help: "A user's name or number.")
  var user: String

  @Argument(help: "What the user would do.")
  var verb: VerbArgument

  @Argument(
    help: "A name, or a pattern such as token.* to register or subscribe to.",
    completion: .custom(FunctionNames.complete))
  var name: String

  @Flag(help: "Write the daemon's answer as JSON, for scripts.")
  var json = false

  @OptionGroup var connection: ConnectionOptions

  func validate() throws {
    guard NameRules.isName(name) || (verb.takesPatterns && NameRules.isPattern(name)) else {
      throw ValidationError(
        "“\(Diagnostics.oneLine(name))” is no name\(verb.takesPatterns ? " or pattern" : ""): letters, digits, _ and - "
          + "in parts joined by dots\(verb.takesPatterns ? ", a pattern with .* behind it or * alone" : "").")
    }
  }

  func run() async throws {
    let account = try Self.account(user)
    let client = try await connection.connect()
    let response = try await ask(client, account)
    let report: PermissionReport
    do {
      report = try response.decode()
    } catch {
      throw CommandFailure(Self.otherVersion, .refused)
    }
    if json {
      try Output.write(response.payload + [UInt8(ascii: "\n")])
    } else {
      try Output.writeLine(Self.text(account, verb, name, report))
    }
    await client.close()
    if !report.allowed { throw CommandFailure(nil, .denied) }
  }

  private static let otherVersion =
    "hostcall.can: the daemon's answer is not what hostcall \(HostcallVersion.current) understands (is the daemon another "
    + "version?)"

  private func ask(_ client: HostcallClient, _ account: UserAccount) async throws -> HostcallResponse {
    let question = PermissionQuestion(
      userID: account.userID, groupIDs: account.groupIDs, verb: verb.rawValue, name: name)
    do {
      return try await client.call("hostcall.can", [UInt8](JSONEncoder().encode(question)), encoding: .json)
    } catch let error as HostcallError where error.origin == .worker {
      // Not 1, which says that the user may not.
      throw CommandFailure(error.description, .refused)
    }
  }

  /// The user with a name or number. A number needs no account; then it has no groups.
  static func account(_ user: String) throws(CommandFailure) -> UserAccount {
    do throws(LoopError) {
      guard let number = UInt32(user) else {
        if let account = try UserAccounts.account(named: user) { return account }
        throw LoopError(
          attempted: "find the user \(Diagnostics.oneLine(user))", code: ENOENT, reason: "nobody here is called so",
          advice: "a number needs no account")
      }
      return try UserAccounts.account(userID: number) ?? UserAccount(userID: number, name: "", groupIDs: [])
    } catch {
      throw CommandFailure(error.description, .usage)
    }
  }

  /// The answer in one line.
  static func text(_ account: UserAccount, _ verb: VerbArgument, _ name: String, _ report: PermissionReport) -> String {
    let who = account.name.isEmpty ? "user \(account.userID)" : "\(account.name) (user \(account.userID))"
    return Diagnostics.oneLine(
      "\(who) may \(report.allowed ? "" : "not ")\(verb.phrase) \(name): \(report.reason)")
  }
}
