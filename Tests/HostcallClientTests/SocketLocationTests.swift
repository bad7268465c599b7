import HostcallWire
import Testing

@Suite struct SocketLocationTests {
  private func path(_ variables: [String: String], userID: UInt32 = 1_000) throws -> String {
    try SocketLocation.path(userID: userID) { variables[$0] }
  }

  @Test func theFirstRuleThatAppliesWins() throws {
    var variables = [
      "HOSTCALL_SOCKET": "/a/b", "RUNTIME_DIRECTORY": "/run/one:/run/two", "XDG_RUNTIME_DIR": "/run/user/1000",
    ]
    #expect(try path(variables) == "/a/b")
    variables["HOSTCALL_SOCKET"] = nil
    #expect(try path(variables) == "/run/one/hostcall.sock")
    variables["RUNTIME_DIRECTORY"] = "/run/one"
    #expect(try path(variables, userID: 0) == "/run/one/hostcall.sock")
    variables["RUNTIME_DIRECTORY"] = nil
    #expect(try path(variables) == "/run/user/1000/hostcall.sock")
    #expect(try path([:], userID: 0) == "/run/hostcall/hostcall.sock")
  }

  @Test func whatIsSetToNothingIsNotSet() throws {
    #expect(
      try path(["HOSTCALL_SOCKET": "", "RUNTIME_DIRECTORY": ":", "XDG_RUNTIME_DIR": "/x/"]) == "/x/hostcall.sock")
  }

  @Test func withoutARuleTheErrorSaysWhatToSet() {
    let error = #expect(throws: SocketLocationError.self) { try path([:]) }
    #expect(error?.description.contains("set HOSTCALL_SOCKET") == true)
  }
}
