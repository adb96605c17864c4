/** Serial runs tasks with the same key one after the other, in the order in which they came. */
export class Serial {
  readonly #last = new Map<string, Promise<unknown>>();

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const done = before.then(task, task);
    this.#last.set(key, done);
    const forget = () => {
      if (this.#last.get(key) === done) this.#last.delete(key);
    };
    done.then(forget, forget);
    return done;
  }
}

/** sleep resolves after some milliseconds; it does not keep a process alive. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    unref(setTimeout(resolve, milliseconds));
  });
}

/** unref lets a process end before a timer; timers of browsers and edge runtimes are numbers and never hold one up. */
export function unref(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function") timer.unref();
}

export function ref(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "ref" in timer && typeof timer.ref === "function") timer.ref();
}
