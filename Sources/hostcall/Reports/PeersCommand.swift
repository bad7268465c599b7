import ArgumentParser
import HostcallWire

/// `hostcall peers`: who is connected.
struct PeersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peers",
    abstract: "List who is connected to the daemon.",
    discussion: """
      FUNCTIONS is how many a peer has registered, EVENTS how many names and patterns it has subscribed to, CALLING how many calls it waits for, RUNNING how many it runs, STUCK how many of these have ended for their caller and are not completed, SILENT how \
      long nothing came from it.

      Example:
        hostcall peers
      """)

  @OptionGroup var report: ReportOptions

  func run() async throws {
    try await report.show("hostcall.peers", as: [PeerReport].self) { peers, _ in Self.text(peers) }
  }

  /// The table.
  static func text(_ peers: [PeerReport]) -> String {
    guard !peers.isEmpty else { return "nobody is connected\n" }
    var table = TextTable([
      .number("SESSION"), .text("CLIENT"), .number("PID"), .number("UID"), .number("CONNECTED"), .number("FUNCTIONS"),
      .number("EVENTS"), .number("CALLING"), .number("RUNNING"), .number("STUCK"), .number("SILENT"),
      .text("STATE"),
    ])
    for peer in peers {
      table.append([
        "\(peer.session)", peer.client, "\(peer.processID)", "\(peer.userID)",
        HumanText.duration(seconds: peer.connectedSeconds), "\(peer.functions)", "\(peer.subscriptions)",
        "\(peer.callsInFlight)", "\(peer.running)", "\(peer.abandoned)",
        HumanText.duration(seconds: peer.silentSeconds), peer.state,
      ])
    }
    return table.text
  }
}
