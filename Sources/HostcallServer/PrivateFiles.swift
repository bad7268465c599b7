import Glibc
import HostcallLoop

/// Small files beside the daemon's socket, in a place where others may write as well, such as `/tmp`: what is not this user's
/// own is left alone, and no link is followed.
enum PrivateFiles {
  /// Larger files are none of ours, in bytes.
  private static let largestBytes: Int64 = 1 << 20

  /// Makes an empty file in a folder, which is made if it is not there.
  static func touch(_ name: String, in folder: String) throws(LoopError) {
    let attempted = "make \(folder)/\(name)"
    mkdir(folder, 0o755)
    let place = try open(folder, attempted)
    defer { close(place) }
    let file = openat(place, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode_t(0o644))
    guard file >= 0 else { throw LoopError(attempted: attempted, code: errno) }
    close(file)
  }

  /// Removes files of a folder, if they are there, and the folder if nothing else is in it.
  static func remove(_ names: [String], in folder: String) {
    guard let place = try? open(folder, "remove \(folder)") else { return }
    for name in names { unlinkat(place, name, 0) }
    close(place)
    rmdir(folder)
  }

  private static func open(_ folder: String, _ attempted: String) throws(LoopError) -> Int32 {
    let place = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard place >= 0 else { throw LoopError(attempted: attempted, code: errno) }
    guard isOwn(place) else {
      close(place)
      throw LoopError(attempted: attempted, code: EPERM, reason: "\(folder) is another user's", advice: "remove it")
    }
    return place
  }

  private static func isOwn(_ descriptor: Int32) -> Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && status.st_uid == geteuid()
  }

  /// What a file has; nothing where it is not there, or not this user's.
  static func read(_ path: String) -> [UInt8] {
    let file = Glibc.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else { return [] }
    defer { close(file) }
    var status = stat()
    guard isOwn(file), fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_size <= largestBytes
    else { return [] }
    return [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { bytes, count in
      count = max(0, pread(file, bytes.baseAddress, bytes.count, 0))
    }
  }

  /// Puts a file with these bytes in the place of the one that is there, or of none, whole or not at all.
  static func write(_ bytes: [UInt8], to path: String) throws(LoopError) {
    let attempted = "write \(path)"
    let fresh = path + ".new"
    unlink(fresh)
    let file = Glibc.open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_t(0o600))
    guard file >= 0 else { throw LoopError(attempted: attempted, code: errno) }
    defer { close(file) }
    guard Glibc.write(file, bytes, bytes.count) == bytes.count, rename(fresh, path) == 0 else {
      let code = errno
      unlink(fresh)
      throw LoopError(attempted: attempted, code: code)
    }
  }
}
