import Glibc
import HostcallLoop

/// Where peers connect, and signals.
extension ServerCore {
  /// Takes the path and listens.
  func listen() throws(ServerError) {
    guard phase != .serving else { throw ServerError("this server has been started already") }
    guard phase == .idle else { return }
    if !configuration.inheritedSockets.isEmpty {
      for socket in configuration.inheritedSockets {
        do throws(LoopError) {
          listeners.append(try accepting(on: socket.descriptor, isReserved: socket.name == Self.administrators))
          if socket.name != Self.administrators { clientsPath = clientsPath ?? UnixSocket.path(of: socket.descriptor) }
        } catch {
          throw ServerError(error.description)
        }
        report(.info, "listening", [("inherited", socket.name)])
      }
    } else if let path = configuration.socketPath {
      let place = try SocketPlace.claim(path)
      var descriptor = takeInheritedListener(path) ?? -1
      if descriptor < 0 {
        descriptor = try place.listen(backlog: configuration.backlog, mode: configuration.socketMode)
      }
      do throws(LoopError) {
        listeners = [try accepting(on: descriptor, isReserved: false)]
      } catch {
        close(descriptor)
        place.removeSocket()
        throw ServerError(error.description)
      }
      self.place = consume place
      report(.info, "listening", [("socket", path)])
    }
    dropInheritedListener()
    forgetWishes()
    adoptCommands()
    phase = .serving
    tell(.serving)
    beginPulse()
    noteIdling()
  }

  /// The socket that an earlier process had on this path: nobody who connects meanwhile is refused.
  private func takeInheritedListener(_ path: String) -> Int32? {
    guard let listener = inheritedListener, listener.path == path else { return nil }
    inheritedListener = nil
    chmod(path, mode_t(configuration.socketMode))
    return listener.descriptor
  }

  /// The earlier process listened elsewhere than this one does.
  private func dropInheritedListener() {
    guard let listener = inheritedListener else { return }
    inheritedListener = nil
    close(listener.descriptor)
    if !listeners.contains(where: { UnixSocket.path(of: $0.descriptor) == listener.path }) { unlink(listener.path) }
  }

  /// The name of an inherited socket on which connections are taken whatever limits on them are met: to look after a daemon
  /// that others keep busy.
  private static let administrators = "admin"

  private func accepting(on descriptor: Int32, isReserved: Bool) throws(LoopError) -> SocketListener {
    try SocketListener(
      loop, descriptor: descriptor,
      onAccept: { [unowned self] descriptor in assumeIsolated { $0.accept(descriptor, isReserved: isReserved) } },
      onFailure: { [unowned self] error in
        assumeIsolated { $0.reportSeldom(.warning, "cannot accept connections", [("error", error.description)]) }
      })
  }

  func leave(on signals: [Int32]) throws(ServerError) {
    try watch(signals) { [unowned self] in assumeIsolated { $0.signalled() } }
  }

  func watch(_ signals: [Int32], _ handler: @escaping @Sendable () -> Void) throws(ServerError) {
    for number in signals {
      do throws(LoopError) {
        // The loop owns the handle until it stops.
        _ = try LoopSignal(loop, number: number, onSignal: handler)
      } catch {
        throw ServerError(error.description)
      }
    }
  }

  private func signalled() {
    let isFirst = phase == .idle || phase == .serving
    if isFirst { return leave(grace: configuration.shutdownGrace) }
    // Of a service manager that had this process hand over first, and which it could not, this is the first word to leave.
    if leavesUnasked { leavesUnasked = false } else { leaveNow() }
  }
}
