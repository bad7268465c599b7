import Glibc

/// Texts as C has them in argument lists and environments.
package enum CStrings {
  /// Lends the texts, each ended by a NUL, with a null pointer after the last.
  package static func with<Result>(
    _ strings: [String], _ use: ([UnsafeMutablePointer<CChar>?]) -> Result
  ) -> Result {
    let pointers = strings.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    return use(pointers + [nil])
  }
}
