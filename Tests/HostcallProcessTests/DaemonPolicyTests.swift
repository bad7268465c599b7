import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// `[[policy]]`, SIGHUP and `hostcall can`, with real processes.
@Suite("Policy of hostcalld")
struct DaemonPolicyTests {
  private static let web = """
    [[policy]]
    name = "web"
    users = ["root", \(getuid())]
    may = ["call"]
    what = ["token.*", "hostcall.*"]
    except = ["token.admin.*"]

    """
  private static let all = """
    [[policy]]
    name = "all"
    users = ["*"]
    may = ["call", "register", "publish", "subscribe"]
    what = ["*"]

    """

  private func check(_ text: String) throws -> DaemonProcess.Outcome {
    let daemon = try DaemonProcess()
    Files.write(text.utf8, to: daemon.configurationFile)
    return try daemon.run("hostcalld", ["--config", daemon.configurationFile, "--check-config"])
  }

  private func status(_ peer: RawPeer, _ name: String) throws -> Status {
    try peer.call(name, request: 1)
    return try peer.expect(.result).header.status
  }

  /// Writes another configuration, and waits for a line of the log that was not there before.
  private func reload(_ daemon: DaemonProcess, _ text: String, until line: String) throws -> String {
    // Its log is written by a thread of its own, perhaps after it has answered.
    try eventually("it has said that it listens") { daemon.standardError().contains("listening") }
    let before = daemon.standardError().count
    Files.write(text.utf8, to: daemon.configurationFile)
    kill(daemon.processID, SIGHUP)
    func news() -> String { String(daemon.standardError().dropFirst(before)) }
    try eventually("“\(line)” is in the log") { news().contains(line) && news().last == "\n" }
    return news()
  }

  // MARK: Configuration

  @Test func whatIsPrintedIsAConfigurationThatSaysTheSame() throws {
    let text =
      Self.web + "[[policy]]\nname = \"a \\\"b\\\" ü\"\ngroups = [\"root\", 7]\nmay = [\"subscribe\"]\nwhat = [\"*\"]\n"
    let printed = try check(text)
    #expect(printed.status == 0)
    #expect(
      printed.text.hasSuffix(
        """

        [[policy]]
        name = "web"
        users = ["root", \(getuid())]
        may = ["call"]
        what = ["token.*", "hostcall.*"]
        except = ["token.admin.*"]

        [[policy]]
        name = "a \\"b\\" ü"
        groups = ["root", 7]
        may = ["subscribe"]
        what = ["*"]

        """), "\(printed.text)")
    #expect(try check(printed.text).text == printed.text)
  }

  @Test(arguments: [
    ("users = [\"*\"]\nmay = [\"call\"]\nwhat = [\"a\"]", 1, "a rule needs a name"),
    ("name = \"r\"\nmay = [\"call\"]\nwhat = [\"a\"]", 1, "the rule “r” is for nobody"),
    ("name = \"r\"\nusers = [\"*\"]\nwhat = [\"a\"]", 1, "the rule “r” allows nothing"),
    ("name = \"r\"\nusers = [\"*\"]\nmay = [\"call\"]", 1, "the rule “r” is about nothing"),
    ("name = 3", 2, "policy.name must be text in quotes"),
    ("name = \"r\"\nusers = [\"no-such-user\"]", 3, "there is no user called “no-such-user” here"),
    ("name = \"r\"\ngroups = [\"no-such-group\"]", 3, "there is no group called “no-such-group” here"),
    ("name = \"r\"\nusers = \"root\"", 3, "policy.users must be a list of names in quotes and numbers"),
    ("name = \"r\"\nusers = [4294967295]", 3, "policy.users must be a list of names"),
    ("name = \"r\"\nusers = [-1]", 3, "policy.users must be a list of names"),
    ("name = \"r\"\nusers = [\"*\"]\nmay = [\n \"call\",\n \"read\"\n]", 4, "subscribe, not “read”"),
    ("name = \"r\"\nusers = [\"*\"]\nmay = [\"call\"]\nwhat = [\"a\", \"b..c\"]", 5, "“b..c” in what"),
    ("name = \"r\"\nusers = [\"*\"]\nmay = [\"call\"]\nwhat = [\"a\"]\nexcept = [\"*.c\"]", 6, "“*.c” in except"),
    ("name = \"r\"\nwhat = [3]", 3, "policy.what must be a list of texts in quotes"),
    ("name = \"r\"\nuser = [\"*\"]", 3, "unknown key policy.user (a rule has name, users, groups, may"),
  ])
  func aRuleThatCannotBeIsRefusedWithItsLine(_ rule: String, _ line: Int, _ expected: String) throws {
    // Behind another one, which takes lines 1 to 6.
    let outcome = try check(Self.web + "[[policy]]\n" + rule + "\n")
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("hostcalld.toml:\(6 + line): "), "\(outcome.errors)")
    #expect(outcome.errors.contains(expected), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
  }

  @Test func namesOfRulesAreUniqueAndRulesAreAList() throws {
    #expect(try check(Self.web + Self.web).errors.contains("toml:8: two rules have the name “web”"))
    #expect(try check("[policy]\nname = \"r\"\n").errors.contains("toml:1: policy must be a list of rules, each under"))
    #expect(try check("policy = 3\n").errors.contains("toml:1: policy must be a list of rules, each under [[policy]]"))
    #expect(try check("[sever]\npolicy = 3\n").errors.contains("toml:2: unknown key sever.policy"))
    let inline = "policy = [{ name = \"r\", users = [\"*\"], may = [\"call\"], what = [\"a..b\"] }]\n"
    #expect(try check(inline).errors.contains("toml:1: the rule “r” has “a..b” in what"))
  }

  // MARK: In force

  @Test func onlyWhatRulesAllowIsDone() throws {
    let daemon = try DaemonProcess(configuration: Self.web)
    let peer = try RawPeer(daemon.socketPath)
    #expect(try status(peer, "token.fetch") == .notFound)
    #expect(try status(peer, "token.admin.x") == .denied)
    #expect(try status(peer, "hostcall.stats") == .ok)
    #expect(try status(peer, "other") == .denied)
    try peer.send(FrameHeader(kind: .register, id: 2), name: "token.fetch")
    #expect(try peer.expect(.result).header.status == .denied)
  }

  @Test func groupsAreThoseThatTheKernelTellsOf() throws {
    let daemon = try DaemonProcess(
      configuration: """
        [[policy]]
        name = "group"
        groups = [4242]
        may = ["call"]
        what = ["hostcall.echo"]
        """)
    let denied = try daemon.hostcall(["call", "hostcall.echo", "x"])
    #expect(denied.status == 5 && denied.errors.contains("DENIED from the daemon: policy does not let user"))
    // Only root may choose its groups.
    guard geteuid() == 0 else { return }
    let program = "\(ChildProcess.productsFolder)/hostcall"
    let allowed = try daemon.run("/usr/bin/setpriv", ["--groups=7,4242", program, "call", "hostcall.echo", "x"])
    #expect(allowed.status == 0 && allowed.text == "x", "\(allowed.errors)")
  }

  // MARK: Reloading

  @Test func anotherPolicyIsPutInForceAtSIGHUP() throws {
    let daemon = try DaemonProcess(configuration: Self.all)
    let worker = try RawPeer(daemon.socketPath)
    try worker.register("work")
    let caller = try RawPeer(daemon.socketPath)
    try caller.send(FrameHeader(kind: .bind, id: 1), name: "work")
    let handle = try caller.expect(.result).header.aux
    let news = try reload(daemon, Self.web, until: "configuration reloaded")
    #expect(news.contains("<5>policy set rules=1 registrations-put-to-sleep=1 registrations-woken=0 "), "\(news)")
    #expect(news.contains("<5>configuration reloaded rules=1 added=web removed=all\n"), "\(news)")
    try caller.send(FrameHeader(kind: .call, id: 2, function: handle))
    #expect(try caller.expect(.result).header.status == .denied)
    let again = try reload(daemon, Self.all, until: "configuration reloaded")
    #expect(again.contains("registrations-woken=1"), "\(again)")
    try caller.send(FrameHeader(kind: .call, id: 3, function: handle))
    try worker.complete(worker.expect(.invoke).header.id, payload: [9])
    #expect(try caller.expect(.result).payload == [9])
    let changed = try reload(daemon, Self.all + "except = [\"x\"]\n", until: "configuration reloaded")
    #expect(changed.contains("configuration reloaded rules=1 changed=all\n"), "\(changed)")
    #expect(daemon.stop() == 0)
  }

  @Test func aBadFileLeavesTheOldRulesInForceAndSaysWhy() throws {
    let daemon = try DaemonProcess(configuration: Self.web)
    let peer = try RawPeer(daemon.socketPath)
    let bad = Self.all + "[[policy]]\nname = \"x\"\nusers = [\"no-such-user\"]\n"
    let news = try reload(daemon, bad, until: "configuration not reloaded")
    #expect(news.hasPrefix("<3>configuration not reloaded, the rules in force stay error=\""), "\(news)")
    #expect(news.contains("hostcalld.toml:8: there is no user called") && news.split(separator: "\n").count == 1)
    #expect(try status(peer, "other") == .denied)
    #expect(try status(peer, "token.fetch") == .notFound)
    unlink(daemon.configurationFile)
    kill(daemon.processID, SIGHUP)
    try eventually("the missing file is in the log") { daemon.standardError().contains("no such file or directory") }
    #expect(try status(peer, "other") == .denied)
    #expect(daemon.stop() == 0)
  }

  @Test func whatOnlyARestartChangesIsNamed() throws {
    let daemon = try DaemonProcess(configuration: Self.web)
    let other = "[server]\nsocket-mode = \"0660\"\nsocket = \"/tmp/other\"\n[limits]\nresends = 1\n" + Self.all
    let news = try reload(daemon, other, until: "need a restart")
    // The socket is given by an argument, which stays what it is.
    #expect(
      news.contains("<4>some changes need a restart of hostcalld keys=\"server.socket-mode, limits.resends\"\n"),
      "\(news)")
    #expect(daemon.stop() == 0)
  }

  @Test func withoutAFileThereIsNothingToReload() throws {
    let daemon = try DaemonProcess()
    kill(daemon.processID, SIGHUP)
    try eventually("it is in the log") { daemon.standardError().contains("<4>nothing to reload reason=") }
    try RawPeer(daemon.socketPath).barrier()
    #expect(daemon.stop() == 0)
  }

  @Test func manySignalsAtOnceEndWithTheLastFile() throws {
    let daemon = try DaemonProcess(configuration: Self.web)
    for _ in 0..<50 { kill(daemon.processID, SIGHUP) }
    _ = try reload(daemon, Self.all, until: "added=all")
    #expect(try status(RawPeer(daemon.socketPath), "other") == .notFound)
    #expect(daemon.stop() == 0)
  }

  // MARK: hostcall can

  @Test func canExplainsInOneLineAndByItsStatus() throws {
    let daemon = try DaemonProcess(configuration: Self.web)
    func can(_ arguments: String...) throws -> DaemonProcess.Outcome { try daemon.hostcall(["can"] + arguments) }
    let allowed = try can("root", "call", "token.fetch")
    #expect(allowed.status == 0 && allowed.errors == "")
    #expect(allowed.text == "root (user 0) may call token.fetch: the rule “web” allows token.*\n")
    let denied = try can("0", "call", "token.admin.x")
    #expect(denied.status == 1 && denied.errors == "")
    #expect(
      denied.text
        == "root (user 0) may not call token.admin.x: the rule “web” allows token.*, except token.admin.*, and no other "
        + "rule allows it\n")
    let stranger = try can("3999999999", "subscribe", "door.*")
    #expect(
      stranger.text == "user 3999999999 may not subscribe to door.*: no rule is for this user or one of its groups\n")
    let json = try can("root", "register", "token.*", "--json")
    #expect(json.status == 1)
    let report = try JSONDecoder().decode(PermissionReport.self, from: Data(json.output))
    #expect(!report.allowed && report.rule == nil && report.reason.contains("“web”"))
    let nobody = try can("no-such-user", "call", "a")
    #expect(nobody.status == 64)
    #expect(nobody.errors.contains("cannot find the user no-such-user: nobody here is called so"))
    for wrong in [["root", "call", "a.*"], ["root", "read", "a"], ["root", "call"], ["root", "publish", "a..b"]] {
      #expect(try daemon.hostcall(["can"] + wrong).status == 64, "\(wrong)")
    }
  }

  @Test func withoutRulesEverybodyCan() throws {
    let outcome = try DaemonProcess().hostcall(["can", "1001", "register", "*"])
    #expect(outcome.status == 0)
    #expect(outcome.text.hasSuffix("may register *: there are no rules, so whoever can connect may\n"))
  }

  @Test func whoMayNotAskIsTold() throws {
    let narrow = Self.web.replacingOccurrences(of: "hostcall.*", with: "hostcall.echo")
    let daemon = try DaemonProcess(configuration: narrow)
    let outcome = try daemon.hostcall(["can", "root", "call", "a"])
    #expect(outcome.status == 5 && outcome.errors.contains("hostcall.can: DENIED"), "\(outcome.errors)")
  }
}
