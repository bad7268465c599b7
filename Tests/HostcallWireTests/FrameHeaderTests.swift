import HostcallWire
import Testing

@Suite("FrameHeader")
struct FrameHeaderTests {
  @Test("lies in memory as section 2 lays it out on the wire")
  func layout() {
    #expect(FrameHeader.byteCount == 32)
    #expect(MemoryLayout<FrameHeader>.size == 32)
    #expect(MemoryLayout<FrameHeader>.stride == 32)
    let offsets: [(Int?, Int)] = [
      (MemoryLayout<FrameHeader>.offset(of: \.bodyBytes), 0), (MemoryLayout<FrameHeader>.offset(of: \.kindByte), 4),
      (MemoryLayout<FrameHeader>.offset(of: \.flags), 5), (MemoryLayout<FrameHeader>.offset(of: \.encoding), 6),
      (MemoryLayout<FrameHeader>.offset(of: \.status), 7), (MemoryLayout<FrameHeader>.offset(of: \.id), 8),
      (MemoryLayout<FrameHeader>.offset(of: \.function), 16),
      (MemoryLayout<FrameHeader>.offset(of: \.timeoutMilliseconds), 20),
      (MemoryLayout<FrameHeader>.offset(of: \.nameBytes), 24),
      (MemoryLayout<FrameHeader>.offset(of: \.metadataBytes), 26), (MemoryLayout<FrameHeader>.offset(of: \.aux), 28),
    ]
    for (offset, stated) in offsets { #expect(offset == stated) }
  }

  @Test("loads little-endian fields from bytes that are not aligned, and stores the same bytes")
  func loadsUnaligned() {
    let wire = (0..<32).map { UInt8($0 + 1) }
    for shift in 0..<8 {
      lend(Array(repeating: 0, count: shift) + wire) { lent in
        let header = FrameHeader(loading: lent.baseAddress! + shift)
        #expect(header.bodyBytes == 0x0403_0201)
        #expect(header.kindByte == 5)
        #expect(header.flags.rawValue == 6)
        #expect(header.encoding.rawValue == 7)
        #expect(header.status.rawValue == 8)
        #expect(header.id == 0x100f_0e0d_0c0b_0a09)
        #expect(header.function == 0x1413_1211)
        #expect(header.timeoutMilliseconds == 0x1817_1615)
        #expect(header.nameBytes == 0x1a19)
        #expect(header.metadataBytes == 0x1c1b)
        #expect(header.aux == 0x201f_1e1d)
        #expect(header.call == 0x1817_1615_1413_1211)
        let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: shift + 32, alignment: 1)
        defer { stored.deallocate() }
        header.store(to: stored.baseAddress! + shift)
        #expect(stored.dropFirst(shift).elementsEqual(wire))
      }
    }
  }

  @Test("packs the call of RESULT into the eight bytes at 16, and leaves the others alone")
  func callOfResult() {
    for call: UInt64 in [0, 1, 0xffff_ffff, 1 << 32, 0x0123_4567_89ab_cdef, .max] {
      var header = FrameHeader(
        kind: .result, flags: .fromWorker, status: .failed, id: 5, function: 77, timeoutMilliseconds: 88, aux: 9)
      header.call = call
      #expect(header.call == call)
      #expect(header.function == UInt32(truncatingIfNeeded: call))
      #expect(header.timeoutMilliseconds == UInt32(call >> 32))
      let wire = FrameEncoder.encode(header)
      #expect(Array(wire[16..<24]) == Bytes.littleEndian(call))
      #expect(header.id == 5 && header.aux == 9 && header.status == .failed && header.flags == .fromWorker)
    }
  }

  @Test("has HOSTCALL as the id of HELLO")
  func helloID() {
    #expect(Bytes.littleEndian(FrameHeader.helloID) == Array("HOSTCALL".utf8))
  }

  @Test("counts payload and frame, and tells parts that do not fit, at the ends of the ranges")
  func sizes() {
    var header = FrameHeader(kind: .call)
    #expect(header.partsFit && header.payloadBytes == 0 && header.frameBytes == 32)
    (header.nameBytes, header.metadataBytes, header.bodyBytes) = (.max, .max, 131_070)
    #expect(header.partsFit && header.payloadBytes == 0)
    header.bodyBytes = 131_069
    #expect(!header.partsFit)
    header.bodyBytes = .max
    #expect(header.partsFit && header.payloadBytes == 4_294_836_225 && header.frameBytes == 4_294_967_327)
  }

  @Test("knows its kind only where the byte has a meaning")
  func kind() {
    var header = FrameHeader(kind: .event)
    #expect(header.kind == .event)
    header.kindByte = 6
    #expect(header.kind == nil)
  }
}
