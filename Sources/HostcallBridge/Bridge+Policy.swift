import HostcallWire

/// A registration that policy forbids: it takes no calls. It takes them again when policy allows it again.
struct SleepingRegistration: BitwiseCopyable {
  /// The name, which is kept.
  var function: Slot = .none
  var concurrency: UInt32 = 0
  var timeoutMilliseconds: UInt32 = 0
  var isIdempotent = false
  var wantsCaller = false
  var isExclusive = false

  mutating func code(_ coder: inout StateCoder, functions: Int) throws(StateError) {
    try coder.code(&function, below: functions)
    try coder.code(&concurrency)
    try coder.code(&timeoutMilliseconds)
    try coder.code(&isIdempotent)
    try coder.code(&wantsCaller)
    try coder.code(&isExclusive)
  }
}

/// What another policy has changed for those who are connected.
package struct PolicyChange: Sendable, Equatable {
  /// Registrations that take no calls any more.
  package let slept: Int
  /// Registrations that had been put to sleep and take calls again.
  package let woken: Int
  /// The same of subscriptions, which get no events while they sleep.
  package var subscriptionsSlept = 0
  package var subscriptionsWoken = 0
}

/// Who may do what (status DENIED, protocol section 6).
///
/// A request is checked when it comes; what was accepted before goes on when policy changes. A bound name remembers
/// policy's yes together with the policy that gave it; registrations and subscriptions sleep while they are forbidden.
extension Bridge {
  // MARK: Asking

  /// Whether policy lets a peer do something with a name or pattern.
  func isPermitted(_ verb: PolicyVerb, _ name: UnsafeRawBufferPointer, to slot: Slot) -> Bool {
    guard policies.hasRules, !peers[slot].isLocal else { return true }
    return policies.permits(verb, name, form: peers[slot].policyForm)
  }

  /// The same for a name that is known.
  private func isPermitted(_ verb: PolicyVerb, _ function: Slot, to slot: Slot) -> Bool {
    functions[function].name.withUnsafeBytes { isPermitted(verb, $0, to: slot) }
  }

  /// Whether policy lets a peer make a call. The handle that it names must have been given out.
  @inline(__always)
  mutating func isCallPermitted(_ frame: DecodedFrame, from slot: Slot) -> Bool {
    let handle = Int(frame.header.function)
    if handle > 0, peers[slot].bound[handle - 1].policyEpoch == policies.epoch { return true }
    return isCallPermittedNow(frame, handle, from: slot)
  }

  @inline(never)
  private mutating func isCallPermittedNow(_ frame: DecodedFrame, _ handle: Int, from slot: Slot) -> Bool {
    if handle == 0 { return isPermitted(.call, frame.name, to: slot) }
    guard isPermitted(.call, peers[slot].bound[handle - 1].function, to: slot) else { return false }
    peers[slot].bound[handle - 1].policyEpoch = policies.epoch
    return true
  }

  /// Answers a request with DENIED, if it wants an answer.
  @inline(never)
  mutating func deny(
    _ verb: PolicyVerb, _ request: FrameHeader, _ name: String, to slot: Slot, into actions: inout ActionBuffer
  ) {
    statistics.policyDenials += 1
    guard request.id != 0 else { return }
    let user = peers[slot].identity.userID
    refuse(
      request, to: slot, .denied,
      "\(name): policy does not let user \(user) \(verb.ofIt) (hostcall can \(user) \(verb.rawValue) \(name) says why; "
        + "the rules are in hostcalld's configuration)", into: &actions)
  }

  /// What policy says to a question, and why; `hostcall.can`.
  package func policyAnswer(
    _ verb: PolicyVerb, _ name: String, userID: UInt32, groupIDs: [UInt32]
  ) -> PolicyAnswer {
    policies.policy.answer(verb, name, userID: userID, groupIDs: groupIDs)
  }

  // MARK: Changing

  /// Another policy is in force from now on.
  ///
  /// Calls that were accepted go on. Subscriptions that are forbidden get no events until they may be again.
  ///
  /// Registrations that are forbidden take no new calls, as if their worker had gone, but finish those that they have;
  /// registrations that an earlier policy had forbidden and this one allows take calls again, unless others have the name
  /// meanwhile in a way that keeps them out, or have replaced them.
  package mutating func setPolicy(_ policy: Policy, now: UInt64, into actions: inout ActionBuffer) -> PolicyChange {
    policies = policies.replaced(by: policy)
    for slot in peers.all where !peers[slot].isLocal {
      peers[slot].policyForm = policies.retainForm(for: peers[slot].identity)
    }
    var subscriptionsSlept = 0
    var subscriptionsWoken = 0
    for slot in peers.all { changeSubscriptions(of: slot, &subscriptionsSlept, &subscriptionsWoken) }
    let slots = peers.all.sorted { peers[$0].session < peers[$1].session }
    let forbidden = slots.flatMap { putToSleep($0) }
    deactivate(forbidden, into: &actions)
    let woken = phase == .running ? slots.flatMap { wake($0, into: &actions) } : []
    moveQueues(leaving: forbidden, joining: woken, now: now, into: &actions)
    return PolicyChange(
      slept: forbidden.count, woken: woken.count, subscriptionsSlept: subscriptionsSlept,
      subscriptionsWoken: subscriptionsWoken)
  }

  private mutating func changeSubscriptions(of slot: Slot, _ slept: inout Int, _ woken: inout Int) {
    for subject in peers[slot].subscriptions {
      let isAsleep = peers[slot].sleepingSubscriptions.contains(subject)
      let isAllowed = isPermitted(.subscribe, subject, to: slot)
      if isAllowed, isAsleep {
        peers[slot].sleepingSubscriptions.remove(subject)
        functions.addSubscriber(slot, to: subject)
        woken += 1
      } else if !isAllowed, !isAsleep {
        peers[slot].sleepingSubscriptions.insert(subject)
        functions.removeSubscriber(slot, from: subject)
        slept += 1
      }
    }
  }

  /// Notes the registrations of a peer that are forbidden as sleeping, and gives them; they are still active.
  private mutating func putToSleep(_ slot: Slot) -> [Slot] {
    var forbidden: [Slot] = []
    for registration in peers[slot].registrations.values.sorted() {
      let record = registrations[registration]
      if isPermitted(.register, record.function, to: slot) { continue }
      forbidden.append(registration)
      functions.retain(record.function)
      peers[slot].sleeping[record.handle] = SleepingRegistration(
        function: record.function, concurrency: record.concurrency, timeoutMilliseconds: record.timeoutMilliseconds,
        isIdempotent: record.isIdempotent, wantsCaller: record.wantsCaller,
        isExclusive: functions[record.function].isExclusive)
      functions[record.function].sleeping += 1
      users[peers[slot].user].registrations += 1
    }
    return forbidden
  }

  /// Activates the registrations of a peer that may be again, and gives their functions.
  private mutating func wake(_ slot: Slot, into actions: inout ActionBuffer) -> [Slot] {
    guard !peers[slot].sleeping.isEmpty, peers[slot].state == .open else { return [] }
    var woken: [Slot] = []
    for (handle, sleeping) in peers[slot].sleeping.sorted(by: { $0.key < $1.key }) {
      let function = sleeping.function
      let isKeptOut =
        functions[function].isExclusive || (sleeping.isExclusive && !functions[function].registrations.isEmpty)
      guard isPermitted(.register, function, to: slot), !isKeptOut else { continue }
      functions.retain(function)
      forgetSleeping(handle, of: slot)
      activate(
        RegistrationRecord(
          worker: peers[slot].id, function: function, handle: handle, concurrency: sleeping.concurrency,
          timeoutMilliseconds: sleeping.timeoutMilliseconds, isIdempotent: sleeping.isIdempotent,
          wantsCaller: sleeping.wantsCaller, isActive: true),
        isExclusive: sleeping.isExclusive)
      woken.append(function)
      if let registration = peers[slot].registrations[handle] {
        announce("hostcall.function.registered", registration: registration, into: &actions)
      }
    }
    return woken
  }

  /// What slept does not wake any more.
  mutating func forgetSleeping(_ handle: UInt32, of slot: Slot) {
    guard let sleeping = peers[slot].sleeping.removeValue(forKey: handle) else { return }
    functions[sleeping.function].sleeping -= 1
    users[peers[slot].user].registrations -= 1
    functions.release(sleeping.function)
  }

  /// The same for all registrations of a name by some peers.
  mutating func forgetSleeping(_ function: Slot, of slots: [Slot]) {
    for slot in slots {
      for (handle, sleeping) in peers[slot].sleeping where sleeping.function == function {
        forgetSleeping(handle, of: slot)
      }
    }
  }
}
