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
    .executable(name: "hostcalld", targets: ["hostcalld"]),
    .executable(name: "hostcall", targets: ["hostcall"]),
    .executable(name: "hostcall-demo-worker", targets: ["hostcall-demo-worker"]),
    .executable(name: "hostcall-demo-client", targets: ["hostcall-demo-client"]),
    .library(name: "HostcallClient", targets: ["HostcallClient", "HostcallClientJSON"]),
    .library(name: "HostcallServer", targets: ["HostcallServer"]),
    // libhostcall.so, as Scripts/library builds it.
    .library(name: "hostcall-c", type: .dynamic, targets: ["HostcallC"]),
    // Preloaded by tests into the programs above; of no use to other packages.
    .library(name: "HostcallFaults", type: .dynamic, targets: ["FaultInjection"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
  ],
  targets: [
    .systemLibrary(name: "CLibuv", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
    .target(name: "HostcallWire", swiftSettings: settings),
    .target(name: "HostcallBridge", dependencies: ["HostcallWire"], swiftSettings: settings),
    .target(name: "HostcallLoop", dependencies: ["CLibuv"], swiftSettings: settings),
    .target(name: "HostcallFunctions", dependencies: ["HostcallLoop", "HostcallWire"], swiftSettings: settings),
    .target(
      name: "HostcallServer", dependencies: ["HostcallBridge", "HostcallFunctions", "HostcallLoop", "HostcallWire"],
      swiftSettings: settings),
    .target(
      name: "HostcallClient", dependencies: ["HostcallFunctions", "HostcallLoop", "HostcallWire"],
      swiftSettings: settings),
    .target(name: "HostcallClientJSON", dependencies: ["HostcallClient", "HostcallWire"], swiftSettings: settings),
    .systemLibrary(name: "CHostcall", path: "Sources/Clients/C/include"),
    .target(
      name: "HostcallC",
      dependencies: [
        "CHostcall", "CLibuv", "HostcallClient", "HostcallFunctions", "HostcallLoop", "HostcallServer", "HostcallWire",
      ],
      swiftSettings: settings),
    .target(
      name: "HostcallConfiguration",
      dependencies: [
        "HostcallBridge", "HostcallLoop", "HostcallWire", .product(name: "Logging", package: "swift-log"), "TOMLKit",
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "hostcalld",
      dependencies: [
        "HostcallConfiguration", "HostcallLoop", "HostcallServer", "HostcallWire",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "hostcall-demo-worker", dependencies: ["HostcallClient"], path: "Demo/Worker", swiftSettings: settings),
    .executableTarget(
      name: "hostcall-demo-client", dependencies: ["HostcallClient"], path: "Demo/Client", swiftSettings: settings),
    .executableTarget(
      name: "hostcall",
      dependencies: [
        "HostcallClient", "HostcallClientJSON", "HostcallFunctions", "HostcallLoop", "HostcallWire",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: settings),
    .testTarget(
      name: "HostcallCommandTests",
      dependencies: [
        "hostcall", "hostcalld", "HostcallClient", "HostcallFunctions", "HostcallTestSupport", "HostcallWire",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "HostcallWireTests", dependencies: ["HostcallTestSupport", "HostcallWire"],
      resources: [.copy("protocol-vectors.json")], swiftSettings: settings),
    .testTarget(
      name: "HostcallBridgeTests", dependencies: ["HostcallBridge", "HostcallTestSupport", "HostcallWire"],
      swiftSettings: settings),
    .target(
      name: "HostcallTestSupport", dependencies: ["HostcallLoop", "HostcallWire"], path: "Tests/HostcallTestSupport",
      swiftSettings: settings),
    .target(name: "FaultInjection", path: "Tests/FaultInjection"),
    .target(
      name: "HostcallSoak", dependencies: ["HostcallClient", "HostcallLoop", "HostcallTestSupport", "HostcallWire"],
      path: "Tests/HostcallSoak", swiftSettings: settings),
    .executableTarget(
      name: "hostcall-soak",
      dependencies: ["HostcallSoak", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "Tests/HostcallSoakCommand", swiftSettings: settings),
    .testTarget(
      name: "HostcallSoakTests", dependencies: ["HostcallSoak", "HostcallTestSupport", "hostcall-soak", "hostcalld"],
      swiftSettings: settings),
    .testTarget(
      name: "HostcallConfigurationTests", dependencies: ["HostcallBridge", "HostcallConfiguration"],
      swiftSettings: settings),
    .target(
      name: "HostcallFuzzing", dependencies: ["HostcallBridge", "HostcallConfiguration", "HostcallWire"],
      path: "Tests/HostcallFuzzing", swiftSettings: settings),
    .testTarget(
      name: "HostcallFuzzingTests", dependencies: ["HostcallFuzzing", "HostcallTestSupport"], swiftSettings: settings),
    .executableTarget(
      name: "hostcall-bench-worker", dependencies: ["HostcallClient"], path: "Tests/HostcallBenchWorker",
      swiftSettings: settings),
    .executableTarget(
      name: "hostcall-conformance-agent", dependencies: ["HostcallClient"], path: "Tests/HostcallConformanceAgent",
      swiftSettings: settings),
    .executableTarget(
      name: "hostcall-corpus", dependencies: ["HostcallFuzzing", "HostcallTestSupport"],
      path: "Tests/HostcallCorpusCommand", swiftSettings: settings),
    .testTarget(
      name: "HostcallServerTests",
      dependencies: [
        "HostcallBridge", "HostcallClient", "HostcallLoop", "HostcallServer", "HostcallTestSupport", "HostcallWire",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "HostcallProcessTests", dependencies: ["HostcallTestSupport", "HostcallWire", "hostcall", "hostcalld"],
      swiftSettings: settings),
    .testTarget(
      name: "HostcallLoopTests", dependencies: ["HostcallLoop", "HostcallTestSupport"], swiftSettings: settings),
    .testTarget(
      name: "HostcallFunctionsTests", dependencies: ["HostcallFunctions", "HostcallTestSupport", "HostcallWire"],
      swiftSettings: settings),
    .testTarget(
      name: "HostcallClientTests",
      dependencies: [
        "HostcallClient", "HostcallClientJSON", "HostcallFunctions", "HostcallLoop", "HostcallTestSupport",
        "HostcallWire",
      ],
      swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6]
)

// libFuzzer's runtime is linked where Scripts/fuzz asks for it alone: without it this target cannot be built.
if Context.environment["HOSTCALL_FUZZ"] != nil {
  package.targets += [
    .systemLibrary(name: "CFuzzer", path: "Tests/Fuzzing/CFuzzer"),
    .executableTarget(
      name: "hostcall-fuzz", dependencies: ["CFuzzer", "HostcallFuzzing"], path: "Tests/Fuzzing",
      exclude: ["CFuzzer", "Corpus", "Dictionaries"], swiftSettings: settings),
  ]
}
