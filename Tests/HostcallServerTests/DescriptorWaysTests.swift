import Glibc
import HostcallClient
import HostcallServer
import HostcallTestSupport
import Testing

extension Sides {
  func call(
    _ function: String, _ payload: String = "", options: CallOptions = [], descriptors: [Int32]
  ) async throws(HostcallError) -> HostcallResponse {
    way.callerIsLocal
      ? try await test.server.call(function, payload, options: options, descriptors: descriptors)
      : try await caller.call(function, payload, options: options, descriptors: descriptors)
  }

  func stream(_ function: String, descriptors: [Int32]) -> HostcallStream {
    way.callerIsLocal
      ? test.server.stream(function, descriptors: descriptors) : caller.stream(function, descriptors: descriptors)
  }
}

@Suite("Descriptors between local and remote callers and workers", .timeLimit(.minutes(10)))
struct DescriptorWaysTests {
  @Test(arguments: Way.allCases)
  func openFilesGoThereAndComeBack(_ way: Way) async throws {
    let sides = try await Sides(way)
    let files = [UnnamedFile("first"), UnnamedFile("second")]
    let answer = UnnamedFile("the answer")
    try await sides.register("read") { request in
      #expect(request.metadata["descriptors"] == nil)
      return HostcallReply(
        request.descriptors.withNumbers { $0.map(UnnamedFile.text).joined(separator: ",") },
        descriptors: try HostcallDescriptors(duplicating: [answer.descriptor]))
    }
    do {
      let response = try await sides.call("read", descriptors: files.map(\.descriptor))
      #expect(response.text == "first,second")
      #expect(response.metadata.isEmpty)
      #expect(response.descriptors.withNumbers { $0.map(UnnamedFile.text) } == ["the answer"])
      let streamed = try await sides.stream("read", descriptors: [files[1].descriptor]).response
      #expect(streamed.text == "second")
    }
    for file in files + [answer] { #expect(await file.isAlone()) }
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func whatTheHandlerTakesIsItsOwn(_ way: Way) async throws {
    let sides = try await Sides(way)
    let file = UnnamedFile("x")
    try await sides.register("take") { request in
      let number = request.descriptors.take() ?? -1
      defer { close(number) }
      return HostcallReply(UnnamedFile.text(of: number), descriptors: request.descriptors)
    }
    do {
      let response = try await sides.call("take", descriptors: [file.descriptor, file.descriptor])
      #expect(response.text == "x")
      #expect(response.descriptors.count == 1)
    }
    #expect(await file.isAlone())
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func aBuiltInFunctionTakesNone(_ way: Way) async throws {
    let sides = try await Sides(way)
    let file = UnnamedFile()
    let error = try await failure { () async throws(HostcallError) in
      try await sides.call("hostcall.echo", descriptors: [file.descriptor])
    }
    #expect(error.status == .invalidArgument)
    #expect(await file.isAlone())
    await sides.end()
  }

  @Test(arguments: Way.allCases)
  func thousandsOfEarlyEndsLeaveNothingOpen(_ way: Way) async throws {
    let sides = try await Sides(way)
    let file = UnnamedFile("x")
    try await sides.register("slow", concurrency: 2) { request in
      if request.text == "wait" { try await Task.sleep(for: .seconds(3_600)) }
      if request.text == "fail" { throw HostcallFailure(payload: "no") }
      return HostcallReply(descriptors: request.descriptors)
    }
    for round in 0..<100 {
      let descriptors = Array(repeating: file.descriptor, count: 1 + round % 16)
      await withTaskGroup(of: Void.self) { group in
        for number in 0..<10 {
          group.addTask {
            // Answered, failed, unknown, too late, cancelled while it runs, waits or has not been sent.
            switch number {
            case 0...2: _ = try? await sides.call("slow", descriptors: descriptors)
            case 3: _ = try? await sides.call("slow", "fail", descriptors: descriptors)
            case 4: _ = try? await sides.call("nobody.has.it", descriptors: descriptors)
            case 5: do { _ = sides.stream("slow", descriptors: descriptors) }
            default:
              let call = Task { _ = try? await sides.call("slow", "wait", descriptors: descriptors) }
              for _ in 0..<number { await Task.yield() }
              call.cancel()
              await call.value
            }
          }
        }
      }
    }
    #expect(await file.isAlone())
    await sides.end()
  }
}
