import Glibc
import HostcallLoop

/// The path at which a server listens, held by one process at a time.
///
/// A lock on a file beside the socket says who holds it. It ends with the process, however that dies, so a socket file
/// without the lock is stale and may be replaced; and two servers that start at the same moment cannot both have it.
struct SocketPlace: ~Copyable {
  let path: String
  private let lockDescriptor: Int32

  /// The file whose lock says that somebody serves the path.
  private static func lockPath(_ path: String) -> String { path + ".lock" }

  private init(path: String, lockDescriptor: Int32) {
    self.path = path
    self.lockDescriptor = lockDescriptor
  }

  /// Takes the path, or says who has it and what to do.
  static func claim(_ path: String) throws(ServerError) -> SocketPlace {
    guard !path.isEmpty, path.utf8.count <= UnixSocket.maximumPathBytes else {
      throw ServerError(
        "cannot listen on \(path): the path has \(path.utf8.count) bytes, \(UnixSocket.maximumPathBytes) are the most "
          + "that a socket may have (choose a shorter one with --socket)")
    }
    return SocketPlace(path: path, lockDescriptor: try lock(path))
  }

  /// Gives the path to whoever wants it next. The lock file goes while the lock is still held.
  deinit {
    unlink(Self.lockPath(path))
    close(lockDescriptor)
  }

  /// Removes what a server that died has left behind, and listens. The caller owns the descriptor.
  func listen(backlog: Int32, mode: UInt32) throws(ServerError) -> Int32 {
    var status = stat()
    if lstat(path, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFSOCK else {
        throw ServerError(
          "cannot listen on \(path): a file that is not a socket is there (move it, or choose another path)")
      }
      guard try !isAnswered() else { throw Self.isServed(path) }
      unlink(path)
    }
    do throws(LoopError) {
      return try UnixSocket.listen(path: path, backlog: backlog, mode: mode)
    } catch {
      throw ServerError(error.description)
    }
  }

  /// Removes the socket, which nobody but the one who listened may do.
  func removeSocket() {
    unlink(path)
  }

  /// Whether somebody accepts connections there without having taken the lock.
  private func isAnswered() throws(ServerError) -> Bool {
    do throws(LoopError) {
      close(try UnixSocket.connect(path: path))
      return true
    } catch {
      switch error.code {
      case ECONNREFUSED, ENOENT: return false
      case EAGAIN: return true
      default: throw ServerError("cannot see whether \(path) is in use: \(error.reason)")
      }
    }
  }

  private static func lock(_ path: String) throws(ServerError) -> Int32 {
    let lockPath = lockPath(path)
    while true {
      let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard descriptor >= 0 else { throw cannotLock(path, errno) }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        let code = errno
        close(descriptor)
        throw code == EWOULDBLOCK ? isServed(path) : cannotLock(path, code)
      }
      // Another server may have removed the file between opening and locking it; then the lock is on nothing.
      var held = stat()
      var named = stat()
      if fstat(descriptor, &held) == 0, stat(lockPath, &named) == 0, held.st_ino == named.st_ino,
        held.st_dev == named.st_dev
      {
        return descriptor
      }
      close(descriptor)
    }
  }

  private static func isServed(_ path: String) -> ServerError {
    ServerError(
      "cannot listen on \(path): another hostcalld is serving it (stop that one, or choose another path with --socket)")
  }

  private static func cannotLock(_ path: String, _ code: Int32) -> ServerError {
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let advice =
      switch code {
      case ENOENT:
        "the folder \(folder) does not exist: make it with mkdir -p \(folder), or choose another path with --socket"
      case ENOTDIR: "\(folder) is not a folder: choose another path with --socket"
      case EACCES, EPERM, EROFS: "this user may not write in \(folder): choose another path with --socket"
      default: "choose another path with --socket"
      }
    return ServerError("cannot listen on \(path): \(LoopError.text(ofCode: code)) (\(advice))")
  }
}
