import Glibc

/// The descriptors 0, 1 and 2.
package enum StandardDescriptors {
  /// Sees to it that no socket takes the number of a standard stream that whoever started this program has closed.
  ///
  /// Each that is closed is opened the wrong way round, so that using it fails as if it were closed. Thread: the only
  /// one, before anything else.
  package static func keepApart() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
      // The lowest free number is given out, so this is the one.
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }
}
