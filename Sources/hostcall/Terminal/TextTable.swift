/// Rows under a header, in columns that line up, two spaces apart.
struct TextTable: Equatable {
  /// One column.
  struct Column: Equatable {
    /// Stands above it.
    let title: String
    /// Whether its cells end at the same place, as numbers do.
    let isNumber: Bool

    /// Cells that begin at the same place.
    static func text(_ title: String) -> Column { Column(title: title, isNumber: false) }
    /// Cells that end at the same place.
    static func number(_ title: String) -> Column { Column(title: title, isNumber: true) }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  /// A table without rows.
  init(_ columns: [Column]) {
    self.columns = columns
  }

  /// Adds a row with a cell for each column. What a terminal would obey is taken out; no cell is empty.
  mutating func append(_ cells: [String]) {
    precondition(cells.count == columns.count, "\(cells.count) cells for \(columns.count) columns")
    rows.append(
      cells.map { cell in
        let cell = Diagnostics.oneLine(cell).replacing("\t", with: " ")
        return cell.isEmpty ? "-" : cell
      })
  }

  /// The lines, each ended.
  var text: String {
    let lines = [columns.map(\.title)] + rows
    let widths = columns.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line(of: $0, widths) + "\n" }.joined()
  }

  private func line(of cells: [String], _ widths: [Int]) -> String {
    let padded = columns.indices.map { column in
      let padding = String(repeating: " ", count: widths[column] - cells[column].count)
      return columns[column].isNumber ? padding + cells[column] : cells[column] + padding
    }
    let line = padded.joined(separator: "  ")
    // Nothing after the last cell.
    let end = line.lastIndex { $0 != " " }.map(line.index(after:)) ?? line.startIndex
    return String(line[..<end])
  }
}
