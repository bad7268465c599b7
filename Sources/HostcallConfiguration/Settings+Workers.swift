import HostcallBridge
import TOMLKit

/// `[[worker]]`: workers that are started when a call wants one of their functions and nobody has registered it.
extension Settings {
  package static let workersKey = "worker"
  private static let workerKeys =
    ["name", "functions", "command", "unit"] + OnDemandWorker.numbers.map(\.name)

  mutating func takeWorkers(_ file: SettingsFile) throws(SettingsError) {
    for (index, table) in try file.tables(Self.workersKey, "workers, each under [[worker]]").enumerated() {
      workers.append(try Self.worker(table, file, "\(Self.workersKey)[\(index)]"))
    }
    do throws(OnDemandWorkerError) {
      try OnDemandWorker.check(workers)
    } catch {
      let place = "\(Self.workersKey)[\(error.worker)]"
      throw file.refused("\(place).\(error.key)", or: place, error.description)
    }
  }

  private static func worker(
    _ table: TOMLTable, _ file: SettingsFile, _ place: String
  ) throws(SettingsError) -> OnDemandWorker {
    for key in table.keys where !workerKeys.contains(key) {
      throw file.unknown("\(place).\(key)", advice: "a worker has \(workerKeys.joined(separator: ", "))")
    }
    guard let functions = table["functions"] else {
      throw file.refused(
        place, "a worker must say which functions it registers, such as \(OnDemandWorker.functionsExample)")
    }
    var worker = OnDemandWorker(
      table["name"]?.string ?? "",
      functions: try texts(functions, file, "\(place).functions", OnDemandWorker.functionsExample),
      launch: try launch(table, file, place))
    for number in OnDemandWorker.numbers {
      guard let value = table[number.name] else { continue }
      worker[keyPath: number.keyPath] = try file.number("\(place).\(number.name)", value, number.range)
    }
    return worker
  }

  private static func launch(
    _ table: TOMLTable, _ file: SettingsFile, _ place: String
  ) throws(SettingsError) -> OnDemandWorker.Launch {
    switch (table["command"], table["unit"]) {
    case (let value?, nil): .command(try texts(value, file, "\(place).command", OnDemandWorker.commandExample))
    case (nil, let value?): .unit(value.string ?? "")
    default: throw file.refused(place, "a worker must have either a command or a unit")
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
