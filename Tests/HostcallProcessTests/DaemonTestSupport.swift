import HostcallTestSupport
import HostcallWire

extension DaemonProcess {
  /// A call, the request 1 of its caller, that its worker has got.
  func runningCall(of name: String) throws -> (worker: RawPeer, caller: RawPeer, invoke: RawPeer.Received) {
    let worker = try RawPeer(socketPath)
    try worker.register(name)
    let caller = try RawPeer(socketPath)
    try caller.call(name, request: 1)
    return (worker, caller, try worker.expect(.invoke))
  }
}
