import Testing

@testable import hostcall

@Suite("Numbers for people")
struct HumanTextTests {
  @Test(arguments: [
    (0.0, "0 µs"), (0.4, "0 µs"), (85, "85 µs"), (999.4, "999 µs"), (999.6, "1.0 ms"), (1_000, "1 ms"),
    (1_240, "1.2 ms"), (9_949, "9.9 ms"), (9_950, "10 ms"), (340_000, "340 ms"), (999_499, "999 ms"),
    (999_500, "1.0 s"), (1_500_000, "1.5 s"), (59_400_000, "59 s"), (59_500_000, "1m 00s"), (125_000_000, "2m 05s"),
    (3_599_600_000, "1h 00m"), (11_520_000_000, "3h 12m"), (356_400_000_000, "4d 03h"), (-5, "0 µs"),
    (.infinity, "11574074d 01h"),
  ])
  func durationsHaveOneFittingUnit(_ microseconds: Double, _ expected: String) {
    #expect(HumanText.duration(microseconds: microseconds) == expected)
  }

  @Test func durationsOfOtherKindsAreTheSame() {
    #expect(HumanText.duration(milliseconds: 0) == "0 ms")
    #expect(HumanText.duration(milliseconds: 30_000) == "30 s")
    #expect(HumanText.duration(milliseconds: .max).hasSuffix("h"))
    #expect(HumanText.duration(seconds: 0.25) == "250 ms")
    #expect(HumanText.duration(.microseconds(84)) == "84 µs")
  }

  @Test(arguments: [
    (UInt64(0), "0 B"), (512, "512 B"), (1_023, "1023 B"), (1_024, "1 KiB"), (1_536, "1.5 KiB"), (10_240, "10 KiB"),
    (16 << 20, "16 MiB"), (1_048_575, "1.0 MiB"), (.max, "16 EiB"),
  ])
  func bytesHaveOneFittingUnit(_ count: UInt64, _ expected: String) {
    #expect(HumanText.bytes(count) == expected)
  }
}
