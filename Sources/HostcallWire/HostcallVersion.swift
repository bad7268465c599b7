/// The version of the product, which is apart from the protocol's (section 8).
package enum HostcallVersion {
  package static let current = "0.1.0"
}
