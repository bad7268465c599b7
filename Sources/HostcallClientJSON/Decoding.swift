import FoundationEssentials
public import HostcallClient

extension HostcallResponse {
  /// Reads the payload as JSON.
  ///
  /// Errors: those of `JSONDecoder`.
  public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
    try JSONDecoder().decode(type, from: Data(payload))
  }
}

extension HostcallItem {
  /// Reads the payload as JSON.
  ///
  /// Errors: those of `JSONDecoder`.
  public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
    try JSONDecoder().decode(type, from: Data(payload))
  }
}

extension HostcallEvent {
  /// Reads the payload as JSON.
  ///
  /// Errors: those of `JSONDecoder`.
  public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
    try JSONDecoder().decode(type, from: Data(payload))
  }
}
