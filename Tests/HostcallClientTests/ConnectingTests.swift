import HostcallWire
import Testing

@testable import HostcallClient

@Suite(.timeLimit(.minutes(1))) struct ConnectingTests {
  let daemon: FakeDaemon

  init() throws { daemon = try FakeDaemon() }

  @Test func helloIntroducesTheClientAndWelcomeTheDaemon() async throws {
    async let pending = HostcallClient.connect(daemon.configuration())
    let peer = try await daemon.acceptSilently()
    let hello = try await peer.expect(.hello)
    #expect(hello.header.function == 1)
    #expect(hello.header.aux == 1)
    #expect(hello.metadata == ["client": "tests/1", "features": "descriptors"])
    peer.welcome(largestBodyBytes: 5_000, instance: "abc")
    let client = try await pending
    let information = try #require(await client.serverInformation)
    #expect(information.server == "fake/1")
    #expect(information.instance == "abc")
    #expect(information.session == 7)
    #expect(information.callsInFlight == 1_024)
    #expect(information.largestFrameBytes == 5_000)
    #expect(information.features == ["streams", "events", "descriptors"])
    #expect(client.socketPath == daemon.path)
  }

  @Test func theProcessNameIsTheDefaultClientName() {
    #expect(!HostcallClient.Configuration().clientName.isEmpty)
    #expect(!HostcallClient.Configuration().clientName.contains("/"))
  }

  @Test func withoutADaemonTheErrorSaysWhereAndWhatToDo() async throws {
    daemon.stopListening()
    let configuration = daemon.configuration()
    let error = try await failure { () async throws(HostcallError) in try await HostcallClient.connect(configuration) }
    #expect(error.code == .cannotConnect)
    #expect(
      "\(error)" == "cannot reach hostcalld at \(daemon.path): no such file or directory "
        + "(start it with: hostcalld, or set HOSTCALL_SOCKET)")
  }

  @Test func aDaemonOfAnotherVersionIsNamed() async throws {
    let configuration = daemon.configuration()
    async let error = failure { () async throws(HostcallError) in try await HostcallClient.connect(configuration) }
    let peer = try await daemon.acceptSilently()
    try await peer.expect(.hello)
    peer.send(FrameHeader(kind: .welcome, status: .version, id: 1), payload: Array("2 to 3".utf8))
    let got = try await error
    #expect(got.code == .cannotConnect)
    #expect(got.status == .version)
    #expect(got.message.contains("2 to 3"))
    try await peer.expectEnd()
  }

  @Test func aDaemonThatDoesNotTakeUsIsQuoted() async throws {
    let configuration = daemon.configuration()
    async let error = failure { () async throws(HostcallError) in try await HostcallClient.connect(configuration) }
    let peer = try await daemon.acceptSilently()
    try await peer.expect(.hello)
    peer.goaway(.overloaded, "1024 peers are connected")
    let got = try await error
    #expect(got.code == .cannotConnect)
    #expect(got.status == .overloaded)
    #expect(got.origin == .daemon)
    #expect(got.message.contains("1024 peers"))
  }

  @Test func aDaemonThatClosesOrIsSilentIsAnError() async throws {
    var configuration = daemon.configuration()
    configuration.connectTimeout = .milliseconds(20)
    let asked = configuration
    async let silent = failure { () async throws(HostcallError) in try await HostcallClient.connect(asked) }
    let first = try await daemon.acceptSilently()
    try await first.expect(.hello)
    #expect(try await silent.message.contains("has not answered within"))
    try await first.expectEnd()

    configuration.connectTimeout = .seconds(60)
    let patient = configuration
    async let closed = failure { () async throws(HostcallError) in try await HostcallClient.connect(patient) }
    let second = try await daemon.acceptSilently()
    try await second.expect(.hello)
    second.hangUp()
    #expect(try await closed.code == .cannotConnect)
  }

  @Test func aWelcomeWithoutMaxFrameIsRefused() async throws {
    let configuration = daemon.configuration()
    async let error = failure { () async throws(HostcallError) in try await HostcallClient.connect(configuration) }
    let peer = try await daemon.acceptSilently()
    try await peer.expect(.hello)
    peer.send(FrameHeader(kind: .welcome, id: 1, function: 1, aux: 1))
    #expect(try await error.status == .protocolViolation)
    #expect(try await peer.expect(.goaway).header.status == .protocolViolation)
  }

  @Test func letGoOfAClientCloses() async throws {
    let peer: FakePeer
    do {
      let (client, connected) = try await daemon.connect()
      peer = connected
      _ = await client.serverInformation
    }
    try await peer.expectEnd()
  }

  @Test func aClientWithRegistrationsStaysUntilTheyGo() async throws {
    let peer: FakePeer
    let registration: HostcallRegistration
    do {
      let (client, connected) = try await daemon.connect()
      peer = connected
      async let pending = client.register("f") { $0.payload }
      try await peer.acceptRegistration(handle: 1)
      registration = try await pending
    }
    peer.invoke(1, handle: 1, "still here")
    #expect(try await peer.expect(.complete).text == "still here")
    async let done: Void = registration.unregister()
    peer.answer(try await peer.expect(.unregister))
    try await done
    try await peer.expectEnd()
  }
}
