import Glibc
import HostcallLoop
import Testing

@Suite("UserAccounts")
struct UserAccountsTests {
  @Test("root is found by its name and by its number")
  func findsRoot() throws {
    let root = try #require(try UserAccounts.account(named: "root"))
    #expect(root.userID == 0 && root.name == "root" && root.groupIDs.contains(0))
    #expect(try UserAccounts.account(userID: 0) == root)
    #expect(try UserAccounts.userID(named: "root") == 0)
    #expect(try UserAccounts.groupID(named: "root") == 0)
  }

  @Test("who is not there is nobody, whatever the name", arguments: ["", "no-such-name-here", "root\0", "a b", "0"])
  func findsNobody(name: String) throws {
    #expect(try UserAccounts.userID(named: name) == nil)
    #expect(try UserAccounts.groupID(named: name) == nil)
    #expect(try UserAccounts.account(named: name) == nil)
    #expect(try UserAccounts.account(userID: 3_999_999_999) == nil)
  }
}
