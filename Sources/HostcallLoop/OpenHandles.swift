/// The handles of a loop that are not closed yet, unordered; adding and removing take constant time.
///
/// Thread: the loop thread. Holds no retain: each handle holds itself until it is closed, which is when it leaves.
struct OpenHandles {
  private var handles: ContiguousArray<Unmanaged<LoopHandle>> = []

  var count: Int { handles.count }

  mutating func insert(_ handle: LoopHandle) {
    precondition(handle.indexInLoop == -1, "a handle was opened twice")
    handle.indexInLoop = handles.count
    handles.append(.passUnretained(handle))
  }

  mutating func remove(_ handle: LoopHandle) {
    let index = handle.indexInLoop
    precondition(handles.indices.contains(index), "a handle was closed that the loop does not know")
    let last = handles.removeLast()
    if index < handles.count {
      handles[index] = last
      last.takeUnretainedValue().indexInLoop = index
    }
    handle.indexInLoop = -1
  }

  /// A list of all handles that stays right while they are being closed.
  func all() -> [LoopHandle] {
    handles.map { $0.takeUnretainedValue() }
  }
}
