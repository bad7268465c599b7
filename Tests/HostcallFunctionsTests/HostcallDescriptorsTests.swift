import Glibc
import HostcallTestSupport
import Testing

@testable import HostcallFunctions

@Suite("Descriptors of a call", .timeLimit(.minutes(1))) struct HostcallDescriptorsTests {
  @Test func duplicatesAreClosedWithTheLastCopy() async throws {
    let file = UnnamedFile("x")
    do {
      let descriptors = try HostcallDescriptors(duplicating: [file.descriptor, file.descriptor])
      let copy = descriptors
      #expect(file.openCount == 3)
      #expect(copy == descriptors)
      #expect(copy.count == 2)
    }
    #expect(await file.isAlone())
  }

  @Test func whatIsTakenIsTheTakers() async throws {
    let file = UnnamedFile("x")
    let number: Int32
    do {
      let descriptors = try HostcallDescriptors(duplicating: [file.descriptor, file.descriptor])
      number = try #require(descriptors.take(1))
      #expect(descriptors.take(1) == nil)
      #expect(descriptors.take(2) == nil)
      #expect(descriptors.count == 1)
    }
    #expect(UnnamedFile.text(of: number) == "x")
    close(number)
    #expect(await file.isAlone())
  }

  @Test func whatIsTakenOverIsClosedAlsoWhenItIsRefused() async throws {
    let file = UnnamedFile("x")
    let numbers = (0..<17).map { _ in dup(file.descriptor) }
    #expect(throws: HostcallError.self) { try HostcallDescriptors(takingOver: numbers) }
    #expect(throws: HostcallError.self) { try HostcallDescriptors(takingOver: [dup(file.descriptor), -1]) }
    do { _ = try HostcallDescriptors(takingOver: [dup(file.descriptor)]) }
    #expect(await file.isAlone())
  }

  @Test func handingOverLeavesNothingBehind() throws {
    let file = UnnamedFile("x")
    let descriptors = try HostcallDescriptors(duplicating: [file.descriptor])
    let sent = descriptors.handedOver()
    #expect(descriptors.isEmpty)
    #expect(sent.count == 1)
    #expect(descriptors.handedOver() == .none)
  }

  @Test func aReplyWhoseMetadataHasNoRoomForTheNumberFails() throws {
    let file = UnnamedFile("x")
    var reply = HostcallReply("x", descriptors: try HostcallDescriptors(duplicating: [file.descriptor]))
    for index in 0..<2 { reply.metadata["k\(index)"] = String(repeating: "v", count: 32_760) }
    let completion = Completion(correlationID: 1, status: .ok, reply: reply)
    #expect(completion.status == .failed)
    #expect(completion.header.flags == [])
    #expect(completion.descriptors.isEmpty)
  }
}
