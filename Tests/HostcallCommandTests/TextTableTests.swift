import Testing

@testable import hostcall

@Suite("Tables")
struct TextTableTests {
  @Test func columnsLineUpAndNumbersEndTogether() {
    var table = TextTable([.text("NAME"), .number("CALLS"), .text("STATE")])
    table.append(["a", "12345678", "open"])
    table.append(["much.longer", "7", "leaving"])
    #expect(
      table.text == """
        NAME            CALLS  STATE
        a            12345678  open
        much.longer         7  leaving

        """)
  }

  @Test func noLineEndsInSpaces() {
    var table = TextTable([.number("N"), .text("LAST COLUMN")])
    table.append(["1", "x"])
    table.append(["2", ""])
    #expect(table.text == "N  LAST COLUMN\n1  x\n2  -\n")
  }

  @Test func whatAPeerSaysCannotSteerTheTerminalOrForgeARow() {
    var table = TextTable([.text("CLIENT"), .text("STATE")])
    table.append(["evil\n9  root\u{1b}[2J\tx", "open"])
    #expect(table.text == "CLIENT                STATE\nevil | 9  root?[2J x  open\n")
  }

  @Test func lettersCountNotBytes() {
    var table = TextTable([.text("A"), .text("B")])
    table.append(["äöü", "x"])
    table.append(["abc", "y"])
    #expect(table.text == "A    B\näöü  x\nabc  y\n")
  }
}
