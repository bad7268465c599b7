/// A thread of a program's own that runs tasks, in the order in which they become ready.
///
/// A program that runs all of its tasks here, or on actors of a loop, needs no pool of threads; the system's wakes once a
/// second for as long as the process lives.
///
/// Thread: tasks may be handed in on any; they run on the one that called ``run(_:)``.
package final class ThreadExecutor: TaskExecutor {
  private struct Jobs {
    var waiting: [UnownedJob] = []
    var isOver = false
  }

  private enum Step {
    case run([UnownedJob])
    case end
  }

  /// That of the program's first thread, if it runs one there.
  package static let main = ThreadExecutor()

  private let jobs = HeapCondition(Jobs())

  private init() {}

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    jobs.change { jobs in
      jobs.waiting.append(job)
      return jobs.waiting.count == 1
    }
  }

  /// Runs a task on the calling thread, and others that prefer this executor, until that one has ended.
  package func run(_ body: @escaping @Sendable () async -> Void) {
    Task(executorPreference: self) {
      await body()
      self.jobs.change { jobs in
        jobs.isOver = true
        return true
      }
    }
    while case .run(let ready) = next() {
      for job in ready { job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
  }

  private func next() -> Step {
    jobs.wait { jobs in
      if !jobs.waiting.isEmpty {
        let ready = jobs.waiting
        jobs.waiting = []
        return .run(ready)
      }
      return jobs.isOver ? .end : nil
    }
  }
}
