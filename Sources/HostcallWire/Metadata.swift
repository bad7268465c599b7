/// Small named texts that travel beside a payload (protocol section 2), in the order in which they were written.
///
/// A key is 1 to 64 bytes of `a-z 0-9 -`, a value UTF-8 without NUL of at most 65,535 bytes, and all of it together at
/// most 65,535 bytes on the wire. Keys that begin with `hostcall-` are written by the daemon alone.
public struct Metadata: Sendable, Equatable {
  /// One key and its value.
  public struct Entry: Sendable, Equatable {
    /// 1 to 64 bytes of `a-z 0-9 -`.
    public let key: String
    /// UTF-8 without NUL.
    public let value: String

    /// An entry as it is; ``Metadata/set(_:to:)`` checks it.
    public init(key: String, value: String) {
      self.key = key
      self.value = value
    }

    /// Bytes of it on the wire.
    package var encodedBytes: Int { 3 + key.utf8.count + value.utf8.count }
  }

  /// The entries, no key twice.
  public private(set) var entries: [Entry] = []

  /// No entry.
  public init() {}

  /// Whether there is no entry.
  public var isEmpty: Bool { entries.isEmpty }

  /// The value for a key.
  ///
  /// Setting nil removes it; what the rules of keys and values refuse must go through
  /// ``set(_:to:)``, here it is a programmer's mistake.
  public subscript(key: String) -> String? {
    get { entries.first { $0.key == key }?.value }
    set {
      guard let newValue else {
        entries.removeAll { $0.key == key }
        return
      }
      do {
        try set(key, to: newValue)
      } catch {
        preconditionFailure(error.description)
      }
    }
  }

  /// Sets a value, after a check of key and value; throws ``MetadataError`` and then leaves everything as it was.
  public mutating func set(_ key: String, to value: String) throws(MetadataError) {
    var checkedKey = key
    guard checkedKey.withUTF8({ MetadataRules.isKey(UnsafeRawBufferPointer($0)) }) else {
      throw MetadataError(reason: "metadata key “\(key)” is not 1 to 64 of the characters a-z 0-9 -")
    }
    guard value.utf8.count <= UInt16.max, !value.utf8.contains(0) else {
      throw MetadataError(reason: "the metadata value of “\(key)” is longer than 65,535 bytes or contains a NUL")
    }
    let entry = Entry(key: key, value: value)
    let place = entries.firstIndex { $0.key == key }
    let replacedBytes = place.map { entries[$0].encodedBytes } ?? 0
    guard encodedBytes - replacedBytes + entry.encodedBytes <= UInt16.max else {
      throw MetadataError(reason: "metadata of more than 65,535 bytes in all does not fit into a frame")
    }
    if let place {
      entries[place] = entry
    } else {
      entries.append(entry)
    }
  }

  /// Bytes of it on the wire.
  package var encodedBytes: Int {
    entries.reduce(0) { $0 + $1.encodedBytes }
  }

  /// Reads metadata that ``MetadataRules`` has found well-formed.
  package init(decoding bytes: UnsafeRawBufferPointer) {
    var reader = MetadataReader(bytes)
    while let entry = reader.next() {
      entries.append(
        Entry(key: String(decoding: entry.key, as: UTF8.self), value: String(decoding: entry.value, as: UTF8.self)))
    }
  }

  /// Appends it as it goes over the wire.
  package func encode(into bytes: inout [UInt8]) {
    for entry in entries {
      Self.encode(key: entry.key, value: entry.value, into: &bytes)
    }
  }

  /// Appends one entry as it goes over the wire; key and value must keep the rules.
  package static func encode(key: String, value: String, into bytes: inout [UInt8]) {
    let size = UInt16(value.utf8.count)
    bytes.append(UInt8(key.utf8.count))
    bytes.append(contentsOf: key.utf8)
    bytes.append(UInt8(truncatingIfNeeded: size))
    bytes.append(UInt8(truncatingIfNeeded: size >> 8))
    bytes.append(contentsOf: value.utf8)
  }
}

extension Metadata: ExpressibleByDictionaryLiteral {
  /// Metadata that is written down in the program: a key or value that the rules refuse is a programmer's mistake.
  public init(dictionaryLiteral elements: (String, String)...) {
    for (key, value) in elements {
      self[key] = value
    }
  }
}

/// A key or value that cannot travel as metadata.
public struct MetadataError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Which one, and the rule.
  public let reason: String

  /// The reason.
  public var description: String { reason }
}
