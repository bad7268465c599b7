import Glibc
import HostcallLoop
import HostcallTestSupport
import Testing

@testable import HostcallServer

/// Files beside the socket, where others may write as well.
@Suite struct PrivateFilesTests {
  private let folder = TemporaryFolder()

  @Test func aFileComesAndGoesWithItsFolder() throws {
    let place = folder.file("wanted")
    try PrivateFiles.touch("a", in: place)
    try PrivateFiles.touch("a", in: place)
    try PrivateFiles.touch("b", in: place)
    PrivateFiles.remove(["a", "never"], in: place)
    #expect(access("\(place)/a", F_OK) != 0 && access("\(place)/b", F_OK) == 0)
    PrivateFiles.remove(["b"], in: place)
    #expect(access(place, F_OK) != 0)
  }

  @Test func aLinkIsNotFollowedAndAPipeNotWaitedFor() throws {
    let (place, elsewhere) = (folder.file("wanted"), folder.file("elsewhere"))
    mkdir(elsewhere, 0o700)
    symlink(elsewhere, place)
    #expect(throws: LoopError.self) { try PrivateFiles.touch("a", in: place) }
    #expect(access("\(elsewhere)/a", F_OK) != 0)
    Files.write([1], to: "\(elsewhere)/a")
    PrivateFiles.remove(["a"], in: place)
    #expect(access("\(elsewhere)/a", F_OK) == 0)
    mkfifo("\(elsewhere)/pipe", 0o600)
    #expect(throws: LoopError.self) { try PrivateFiles.touch("pipe", in: elsewhere) }
    #expect(PrivateFiles.read("\(elsewhere)/pipe").isEmpty)
    symlink("\(elsewhere)/a", folder.file("link"))
    #expect(PrivateFiles.read(folder.file("link")).isEmpty)
  }

  @Test(.enabled(if: getuid() == 0, "takes root to make another user's files")) func anothersAreLeftAlone() throws {
    let place = folder.file("wanted")
    mkdir(place, 0o777)
    chown(place, 12_345, 12_345)
    let error = #expect(throws: LoopError.self) { try PrivateFiles.touch("a", in: place) }
    #expect(error?.description.contains("is another user's (remove it)") == true)
    Files.write([1, 2], to: folder.file("workers"))
    #expect(PrivateFiles.read(folder.file("workers")) == [1, 2])
    chown(folder.file("workers"), 12_345, 12_345)
    #expect(PrivateFiles.read(folder.file("workers")).isEmpty)
  }

  @Test func aFileIsReplacedWhole() throws {
    let path = folder.file("workers")
    for bytes in [[1, 2, 3], [], [9]] as [[UInt8]] {
      try PrivateFiles.write(bytes, to: path)
      #expect(PrivateFiles.read(path) == bytes)
    }
    #expect(throws: LoopError.self) { try PrivateFiles.write([1], to: folder.file("nowhere/workers")) }
  }
}
