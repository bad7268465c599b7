import ArgumentParser
import Testing

@testable import hostcall

@Suite("Durations on a command line")
struct DurationTextTests {
  @Test(arguments: [
    ("250ms", Duration.milliseconds(250)), ("2s", .seconds(2)), ("1.5s", .milliseconds(1_500)), ("1m", .seconds(60)),
    ("0.5m", .seconds(30)), ("2h", .seconds(7_200)), ("0.001ms", .microseconds(1)), ("0.0000001ms", .microseconds(1)),
    ("007s", .seconds(7)), ("1193h", .seconds(1_193 * 3_600)),
  ])
  func aNumberAndAUnitAreADuration(_ text: String, _ expected: Duration) throws {
    #expect(try DurationText.parse(text) == expected)
  }

  @Test(arguments: [
    ("5", "a number needs a unit: 5ms or 5s?"), ("1.5", "a number needs a unit: 1.5ms or 1.5s?"),
    ("", "say a duration such as"), ("s", "say a duration such as"), (".5s", "say a duration such as"),
    ("5.s", "say a duration such as"), ("1.2.3s", "say a duration such as"), ("-1s", "say a duration such as"),
    ("+1s", "say a duration such as"), ("1e3s", "the unit is not one of"), ("1S", "the unit is not one of"),
    ("1 s", "the unit is not one of"), ("1d", "the unit is not one of"), ("0x1s", "the unit is not one of"),
    ("٣s", "say a duration such as"), ("0s", "more than nothing"), ("0.0ms", "more than nothing"),
    ("1194h", "1193h is the longest"), ("99999999999999999999999999h", "1193h is the longest"),
  ])
  func anythingElseIsRefusedWithAHint(_ text: String, _ hint: String) throws {
    let error = try #require(throws: ValidationError.self) { try DurationText.parse(text) }
    #expect(error.message.contains(hint), "\(error.message)")
  }
}
