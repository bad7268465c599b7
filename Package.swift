// swift-tools-version: 6.2

import PackageDescription

/// Every Swift target is built with these. Continuous integration sets `HOSTCALL_STRICT`, which makes each warning an
/// error; a package that depends on this one is never failed by a warning of ours.
let settings: [SwiftSetting] =
  [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
  ] + (Context.environment["HOSTCALL_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)])

let package = Package(
  name: "hostcall",
  products: [
    .library(name: "HostcallClient", targets: ["HostcallClient", "HostcallClientJSON"])
  ],
  targets: [
    .systemLibrary(name: "CLibuv", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
    .target(name: "HostcallWire", swiftSettings: settings),
    .target(name: "HostcallBridge", dependencies: ["HostcallWire"], swiftSettings: settings),
    .target(name: "HostcallLoop", dependencies: ["CLibuv"], swiftSettings: settings),
    .target(name: "HostcallClient", dependencies: ["HostcallWire", "HostcallLoop"], swiftSettings: settings),
    .target(name: "HostcallClientJSON", dependencies: ["HostcallClient", "HostcallWire"], swiftSettings: settings),
    .testTarget(
      name: "HostcallWireTests", dependencies: ["HostcallWire"], resources: [.copy("protocol-vectors.json")],
      swiftSettings: settings),
    .testTarget(name: "HostcallBridgeTests", dependencies: ["HostcallBridge", "HostcallWire"], swiftSettings: settings),
    .testTarget(name: "HostcallLoopTests", dependencies: ["HostcallLoop"], swiftSettings: settings),
    .testTarget(
      name: "HostcallClientTests",
      dependencies: ["HostcallClient", "HostcallClientJSON", "HostcallLoop", "HostcallWire"], swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6]
)
