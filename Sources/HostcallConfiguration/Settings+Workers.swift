import HostcallBridge
import HostcallWire
import TOMLKit

/// `[[worker]]`: workers that are started when a call wants one of their functions and nobody has registered it.
extension Settings {
  package static let workersKey = "worker"
  private static let workerKeys =
    ["name", "functions", "command", "unit"] + OnDemandWorker.numbers.map(\.name)

  mutating func takeWorkers(_ file: SettingsFile) throws(SettingsError) {
    for (index, table) in try file.tables(Self.workersKey, "workers, each under [[worker]]").enumerated() {
      let worker = try Self.worker(table, file, "\(Self.workersKey)[\(index)]")
      guard !workers.contains(where: { $0.name == worker.name }) else {
        throw file.refused("\(Self.workersKey)[\(index)].name", "two workers are called “\(worker.name)”")
      }
      for name in worker.functions {
        if let other = workers.first(where: { $0.functions.contains(name) }) {
          throw file.refused(
            "\(Self.workersKey)[\(index)].functions", "the worker “\(other.name)” has \(name) already")
        }
      }
      workers.append(worker)
    }
  }

  private static func worker(
    _ table: TOMLTable, _ file: SettingsFile, _ place: String
  ) throws(SettingsError) -> OnDemandWorker {
    for key in table.keys where !workerKeys.contains(key) {
      throw file.unknown("\(place).\(key)", advice: "a worker has \(workerKeys.joined(separator: ", "))")
    }
    guard let name = table["name"]?.string, !name.isEmpty else {
      throw file.refused("\(place).name", or: place, "a worker must have a name, such as name = \"thumbnails\"")
    }
    let functions = try functions(table, file, place)
    var worker = OnDemandWorker(name, functions: functions, launch: try launch(table, file, place))
    for number in OnDemandWorker.numbers {
      guard let value = table[number.name] else { continue }
      worker[keyPath: number.keyPath] = try file.number("\(place).\(number.name)", value, number.range)
    }
    return worker
  }

  private static func functions(
    _ table: TOMLTable, _ file: SettingsFile, _ place: String
  ) throws(SettingsError) -> [String] {
    let example = "functions = [\"image.thumbnail\", \"image.convert.*\"]"
    guard let value = table["functions"] else {
      throw file.refused(place, "a worker must say which functions it registers, such as \(example)")
    }
    let functions = try texts(value, file, "\(place).functions", example)
    guard !functions.isEmpty else {
      throw file.wrong("\(place).functions", "a list of at least one, such as \(example)")
    }
    for name in functions {
      guard OnDemandWorker.isFunction(name) else {
        throw file.refused("\(place).functions", "“\(name)” is no name or pattern that a worker can register")
      }
    }
    return functions
  }

  private static func launch(
    _ table: TOMLTable, _ file: SettingsFile, _ place: String
  ) throws(SettingsError) -> OnDemandWorker.Launch {
    switch (table["command"], table["unit"]) {
    case (let value?, nil):
      let example = "command = [\"/usr/bin/thumbnails\", \"--fast\"]"
      let command = try texts(value, file, "\(place).command", example)
      guard let program = command.first, program.hasPrefix("/"), !command.contains(where: { $0.utf8.contains(0) })
      else {
        throw file.wrong("\(place).command", "a program by its whole path and its arguments, such as \(example)")
      }
      return .command(command)
    case (nil, let value?):
      guard let unit = value.string, NameRules.isName(unit) else {
        throw file.wrong(
          "\(place).unit", "NAME of hostcall-worker@NAME.path, of letters, digits, _, - and single dots, in quotes")
      }
      return .unit(unit)
    default:
      throw file.refused(place, "a worker must have either a command or a unit")
    }
  }

  /// As they stand in a configuration.
  var workersDescription: String {
    workers.map { worker in
      func list(_ texts: [String]) -> String {
        "[\(texts.map { SettingsFile.quoted($0) }.joined(separator: ", "))]"
      }
      let launch =
        switch worker.launch {
        case .command(let command): "command = \(list(command))"
        case .unit(let unit): "unit = \(SettingsFile.quoted(unit))"
        }
      let numbers = OnDemandWorker.numbers.map { "\($0.name) = \(worker[keyPath: $0.keyPath])" }
      return
        ([
          "", "[[\(Self.workersKey)]]", "name = \(SettingsFile.quoted(worker.name))",
          "functions = \(list(worker.functions))", launch,
        ] + numbers).joined(separator: "\n") + "\n"
    }.joined()
  }
}
