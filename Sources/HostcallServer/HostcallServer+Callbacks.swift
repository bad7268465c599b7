// What a server does for those who have no tasks: instead of waiting, each is told once, on the loop thread, and may not
// block there. All of it may be called from any thread.
extension HostcallServer {
  /// Takes the path and listens; what is in the way is told.
  package func start(_ answer: @escaping @Sendable (ServerError?) -> Void) {
    core.enter { core in
      do throws(ServerError) {
        try core.listen()
        answer(nil)
      } catch {
        answer(error)
      }
    }
  }

  /// Takes one end of a connected socket as the connection of a peer, which has the other end. The descriptor is the
  /// server's from then on.
  package func adopt(_ descriptor: Int32) {
    core.enter { $0.accept(descriptor, isReserved: true) }
  }
}
