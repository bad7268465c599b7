import Foundation
import HostcallTestSupport
import HostcallWire
import Testing

/// Connections through a proxy that passes bytes on badly.
@Suite("hostcalld behind a bad connection")
struct FaultProxyTests {
  @Test func fragmentsAndDelaysChangeNothing() throws {
    let daemon = try DaemonProcess()
    var behaviour = FaultProxy.Behaviour()
    behaviour.fragmentPercent = 90
    behaviour.delayPercent = 20
    behaviour.endPercent = 0
    let proxy = try FaultProxy(
      path: "\(daemon.folder)/proxy", target: daemon.socketPath, seed: 1, behaviour: behaviour)
    let peer = try RawPeer(proxy.path)
    for request in 1...30 as ClosedRange<UInt64> {
      let payload = [UInt8](repeating: UInt8(request), count: 1 + Int(request) * 100)
      try peer.call("hostcall.echo", request: request, payload: payload)
      let result = try peer.expect(.result)
      #expect(result.header.id == request && result.payload == payload)
    }
    peer.close()
    let counts = proxy.stop()
    #expect(counts.connections == 1 && counts.delays > 0 && counts.bytes > 90_000 && counts.cuts + counts.resets == 0)
  }

  @Test func cutResetAndCorruptedConnectionsEndAloneAndOthersAreRight() throws {
    let daemon = try DaemonProcess()
    var behaviour = FaultProxy.Behaviour()
    behaviour.largestBytesBeforeEnd = 2_000
    behaviour.corruptOneInBytes = 500
    let proxy = try FaultProxy(
      path: "\(daemon.folder)/proxy", target: daemon.socketPath, seed: 2, behaviour: behaviour)
    let witness = try RawPeer(daemon.socketPath)
    for request in 1...80 as ClosedRange<UInt64> {
      // Whatever comes of it: nobody waits for an answer that a wrong byte may keep away for ever.
      let peer = try? RawPeer(proxy.path, hello: false)
      try? peer?.send(Greeting.hello(client: "raw/1"))
      for place in 1...5 as ClosedRange<UInt64> {
        try? peer?.call("hostcall.echo", request: place, payload: [UInt8](repeating: 1, count: 300))
      }
      try witness.call("hostcall.echo", request: request, payload: [7])
      #expect(try witness.expect(.result).payload == [7])
    }
    let counts = proxy.stop()
    #expect(counts.cuts > 0 && counts.resets > 0 && counts.corruptions > 0)
    try witness.barrier()
  }
}
