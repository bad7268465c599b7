import HostcallLoop
import Testing

@Suite("SegmentPool")
struct SegmentPoolTests {
  @Test("what is put back is taken again, and no more than 64 segments lie spare")
  func spareSegmentsAreBounded() {
    let pool = SegmentPool()
    let first = pool.take()
    first.storeBytes(of: 7, as: Int.self)
    pool.put(first)
    #expect(pool.spareCount == 1 && pool.segmentsInUse == 0)
    #expect(pool.take() == first && pool.spareCount == 0)
    let more = (0..<99).map { _ in pool.take() }
    #expect(pool.segmentsInUse == 100)
    for segment in more + [first] { pool.put(segment) }
    #expect(pool.segmentsInUse == 0 && pool.spareCount == SegmentPool.maximumSpareSegments)
  }

  @Test("what a burst has used goes when nobody has needed it from one look to the next")
  func unneededOnesGo() {
    let pool = SegmentPool()
    func use(_ count: Int) {
      for segment in (0..<count).map({ _ in pool.take() }) { pool.put(segment) }
    }
    use(10)
    // Needed since the last look, all of them.
    #expect(pool.dropUnneeded() == 10)
    use(4)
    // Six were not.
    #expect(pool.dropUnneeded() == 4)
    #expect(pool.dropUnneeded() == 0)
    #expect(pool.spareCount == 0)
  }

  @Test("many threads at once take and put without losing one")
  func anyThread() async {
    let pool = SegmentPool()
    await withTaskGroup { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<500 {
            let (first, second) = (pool.take(), pool.take())
            first.storeBytes(of: 1, as: Int.self)
            second.storeBytes(of: 2, as: Int.self)
            #expect(first.load(as: Int.self) == 1 && first != second)
            pool.put(first)
            pool.put(second)
          }
        }
      }
    }
    #expect(pool.segmentsInUse == 0 && pool.spareCount <= 8)
  }
}
