/// Elements that leave in the order in which they came.
package struct Queue<Element> {
  package init() {}

  private var elements: ContiguousArray<Element?> = []
  private var head = 0

  package var count: Int { elements.count - head }

  package var isEmpty: Bool { head == elements.count }

  package mutating func append(_ element: Element) {
    elements.append(element)
  }

  /// Takes the oldest out; nil where there is none.
  package mutating func popFirst() -> Element? {
    guard head < elements.count else { return nil }
    let first = elements[head].take()
    head += 1
    // What has left is let go of when it is as much as what is there, so that each element moves once or twice in all.
    if head * 2 >= elements.count {
      elements.removeFirst(head)
      head = 0
    }
    return first
  }

  /// Changes the oldest where it stands; false where there is none.
  package mutating func changeFirst(_ change: (inout Element) -> Void) -> Bool {
    guard head < elements.count, var first = elements[head].take() else { return false }
    change(&first)
    elements[head] = first
    return true
  }

  /// Takes out the oldest for which the condition holds.
  package mutating func removeFirst(where condition: (Element) -> Bool) -> Element? {
    guard let place = elements.indices.dropFirst(head).first(where: { elements[$0].map(condition) ?? false })
    else { return nil }
    return elements.remove(at: place)
  }

  /// Takes all out, in order.
  package mutating func removeAll() -> [Element] {
    let rest = elements.dropFirst(head).compactMap(\.self)
    elements = []
    head = 0
    return rest
  }
}
