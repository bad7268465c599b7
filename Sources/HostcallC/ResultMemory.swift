import CHostcall
import Glibc
import HostcallFunctions
import HostcallLoop
import HostcallWire

/// What C programs are given to read, in memory of `malloc`: one block for each result, invocation or event.
struct ResultMemory {
  private(set) var result: hostcall_result
  private let block: UnsafeMutableRawPointer

  /// The outcome of a call.
  init(_ outcome: CallOutcome) {
    result = hostcall_result()
    result.struct_size = MemoryLayout<hostcall_result>.stride
    let parts: TextBlock
    switch outcome {
    case .success(let response):
      parts = TextBlock(payload: response.payload, metadata: response.metadata, text: "")
      result.status = hostcall_status(HOSTCALL_OK)
      result.correlation_id = response.correlationID ?? 0
      result.encoding = UInt32(response.encoding.rawValue)
    case .failure(let error):
      parts = TextBlock(payload: error.payload, metadata: error.metadata, text: error.description)
      result.status = InterfaceError.status(of: error)
      result.correlation_id = error.correlationID ?? 0
      result.encoding = UInt32(error.encoding.rawValue)
      result.origin =
        switch error.origin {
        case .daemon: Int32(HOSTCALL_FROM_DAEMON)
        case .worker: Int32(HOSTCALL_FROM_WORKER)
        case .client: Int32(HOSTCALL_FROM_LIBRARY)
        }
    }
    block = parts.block
    result.data = parts.data
    result.size = parts.size
    result.metadata = parts.metadata
    result.metadata_count = parts.metadataCount
    result.message = parts.text
  }

  func free() { Glibc.free(block) }

  /// The result with a handle, by which its owner frees it.
  func handedOver() -> hostcall_result {
    var result = result
    result.handle = OwnedMemory.keep(block)
    return result
  }

  /// One item, for as long as `use` runs.
  static func withItem(_ item: HostcallItem, _ use: (UnsafePointer<hostcall_item>) -> Void) {
    item.payload.withUnsafeBufferPointer { bytes in
      var lent = hostcall_item()
      lent.data = bytes.baseAddress
      lent.size = bytes.count
      lent.encoding = UInt32(item.encoding.rawValue)
      withUnsafePointer(to: lent, use)
    }
  }
}

/// Bytes, metadata and a text in one block, which whoever makes it frees.
struct TextBlock {
  let block: UnsafeMutableRawPointer
  let data: UnsafePointer<UInt8>?
  let size: Int
  let metadata: UnsafePointer<hostcall_metadata>?
  let metadataCount: Int
  let text: UnsafePointer<CChar>

  init(payload: [UInt8], metadata entries: Metadata, text words: String) {
    let table = entries.entries.count * MemoryLayout<hostcall_metadata>.stride
    let strings = entries.entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 2 }
    let text = words.utf8.count + 1
    // The table first, where malloc has aligned it.
    guard let block = malloc(table + strings + text + payload.count) else {
      preconditionFailure("no memory for \(payload.count) bytes that have come")
    }
    self.block = block
    var place = table
    func put(_ string: String) -> UnsafePointer<CChar> {
      let start = block + place
      let room = UnsafeMutableRawBufferPointer(start: start, count: string.utf8.count + 1)
      room.copyBytes(from: string.utf8)
      room[string.utf8.count] = 0
      place += string.utf8.count + 1
      return UnsafePointer(start.assumingMemoryBound(to: CChar.self))
    }
    let lines = block.bindMemory(to: hostcall_metadata.self, capacity: entries.entries.count)
    for (index, entry) in entries.entries.enumerated() {
      (lines + index).initialize(to: hostcall_metadata(key: put(entry.key), value: put(entry.value)))
    }
    metadata = entries.isEmpty ? nil : UnsafePointer(lines)
    metadataCount = entries.entries.count
    self.text = put(words)
    UnsafeMutableRawBufferPointer(start: block + place, count: payload.count).copyBytes(from: payload)
    size = payload.count
    data = payload.isEmpty ? nil : UnsafePointer((block + place).assumingMemoryBound(to: UInt8.self))
  }
}

/// Memory that C programs own, by handle: what was freed, or is freed by a copy of its owner, is not freed again.
enum OwnedMemory {
  private struct State {
    var last: UInt64 = 0
    var blocks: [UInt64: UInt] = [:]
  }

  private static let state = HeapLock(State())

  static func keep(_ block: UnsafeMutableRawPointer) -> UInt64 {
    state.withLock { state in
      state.last += 1
      state.blocks[state.last] = UInt(bitPattern: block)
      return state.last
    }
  }

  /// Memory of so many bytes that are 0; nil where there is none.
  static func zeroed(_ byteCount: Int) -> UnsafeMutableRawPointer? {
    calloc(max(1, byteCount), 1)
  }

  /// Frees what has the handle, if anything still has.
  static func free(_ handle: UInt64) {
    guard handle != 0 else { return }
    let address = state.withLock { $0.blocks.removeValue(forKey: handle) }
    Glibc.free(address.flatMap(UnsafeMutableRawPointer.init(bitPattern:)))
  }

  /// Whether something has the handle.
  static func has(_ handle: UInt64) -> Bool {
    state.withLock { $0.blocks[handle] != nil }
  }
}
