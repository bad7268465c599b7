import Glibc

/// A user as the system's databases know it.
package struct UserAccount: Sendable, Equatable {
  package let userID: UInt32
  /// The login name.
  package let name: String
  /// All groups, the primary one among them.
  package let groupIDs: [UInt32]

  package init(userID: UInt32, name: String, groupIDs: [UInt32]) {
    self.userID = userID
    self.name = name
    self.groupIDs = groupIDs
  }
}

/// Asks the system's databases about users and groups.
///
/// Thread: any but a loop's. A question may go over the network and take as long as it likes.
package enum UserAccounts {
  /// The user id with a name, nil where nobody has it.
  package static func userID(named name: String) throws(LoopError) -> UInt32? {
    try user(named: name)?.userID
  }

  /// The group id with a name, nil where no group has it.
  package static func groupID(named name: String) throws(LoopError) -> UInt32? {
    guard isAskable(name) else { return nil }
    var record = group()
    return try lookUp("look up the group \(name)") { buffer, byteCount in
      var found: UnsafeMutablePointer<group>?
      let code = getgrnam_r(name, &record, buffer, byteCount, &found)
      return (code, found.map { $0.pointee.gr_gid })
    }
  }

  /// The user with a name and all its groups, nil where nobody has the name.
  package static func account(named name: String) throws(LoopError) -> UserAccount? {
    guard let (userID, groupID, name) = try user(named: name) else { return nil }
    return UserAccount(userID: userID, name: name, groupIDs: groupIDs(of: name, primary: groupID))
  }

  /// The user with an id and all its groups, nil where nobody has it.
  package static func account(userID: UInt32) throws(LoopError) -> UserAccount? {
    var record = passwd()
    let found = try lookUp("look up the user \(userID)") { buffer, byteCount in
      var found: UnsafeMutablePointer<passwd>?
      let code = getpwuid_r(userID, &record, buffer, byteCount, &found)
      return (code, found.map { ($0.pointee.pw_gid, Self.text($0.pointee.pw_name)) })
    }
    guard let (groupID, name) = found else { return nil }
    return UserAccount(userID: userID, name: name, groupIDs: groupIDs(of: name, primary: groupID))
  }

  private static func user(named name: String) throws(LoopError) -> (userID: UInt32, groupID: UInt32, name: String)? {
    guard isAskable(name) else { return nil }
    var record = passwd()
    return try lookUp("look up the user \(name)") { buffer, byteCount in
      var found: UnsafeMutablePointer<passwd>?
      let code = getpwnam_r(name, &record, buffer, byteCount, &found)
      return (code, found.map { ($0.pointee.pw_uid, $0.pointee.pw_gid, Self.text($0.pointee.pw_name)) })
    }
  }

  private static func groupIDs(of name: String, primary: UInt32) -> [UInt32] {
    var groupIDs = [gid_t](repeating: 0, count: 64)
    while true {
      var count = Int32(groupIDs.count)
      if getgrouplist(name, primary, &groupIDs, &count) >= 0 { return Array(groupIDs.prefix(Int(count))) }
      groupIDs = Array(repeating: 0, count: max(Int(count), groupIDs.count * 2))
    }
  }

  private static func text(_ name: UnsafeMutablePointer<CChar>?) -> String {
    name.map { String(cString: $0) } ?? ""
  }

  /// A name with a NUL would be asked about only up to it.
  private static func isAskable(_ name: String) -> Bool { !name.isEmpty && !name.utf8.contains(0) }

  /// Asks with more and more room for the answer.
  private static func lookUp<Found>(
    _ attempted: String,
    _ ask: (_ buffer: UnsafeMutablePointer<CChar>, _ byteCount: Int) -> (code: Int32, found: Found?)
  ) throws(LoopError) -> Found? {
    var byteCount = 4_096
    while true {
      let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: byteCount)
      defer { buffer.deallocate() }
      let (code, found) = ask(buffer, byteCount)
      switch code {
      // How it is said that there is none differs between databases.
      case 0, ENOENT, ESRCH: return found
      case EINTR: continue
      case ERANGE where byteCount < 16_777_216: byteCount *= 4
      default: throw LoopError(attempted: attempted, code: code)
      }
    }
  }
}
