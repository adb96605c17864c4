import { ref, unref } from "./serial.js";

interface End {
  timer: unknown;
  reached: Promise<void>;
  waiting: number;
}

/**
 * Budget bounds how long a request waits for authsync altogether: its first change starts the time, and its later ones
 * share what is left.
 */
export class Budget {
  readonly #ends = new WeakMap<object, End>();

  constructor(private readonly milliseconds: number) {}

  /** wait resolves with work or at the end of the current request's time. It never rejects. */
  async wait(work: Promise<unknown>): Promise<void> {
    if (this.milliseconds <= 0) return;
    const request = currentRequest() ?? work;
    let end = this.#ends.get(request);
    if (!end) {
      end = { timer: undefined, reached: Promise.resolve(), waiting: 0 };
      const started = end;
      end.reached = new Promise((resolve) => {
        started.timer = setTimeout(resolve, this.milliseconds);
      });
      this.#ends.set(request, end);
    }
    // Only what somebody waits for keeps the process alive.
    if (end.waiting++ === 0) ref(end.timer);
    await Promise.race([work.catch(() => {}), end.reached]);
    if (--end.waiting === 0) unref(end.timer);
  }
}

/**
 * currentRequest identifies the request that is being answered. Better Auth keeps it where all copies of it in a
 * process share it (better-auth 1.7.7: @better-auth/core, context/global), but exports it to packages that depend on
 * its core alone. Where it is not found each change has a time of its own.
 */
function currentRequest(): object | undefined {
  const shared = (globalThis as Record<symbol, unknown>)[Symbol.for("better-auth:global")] as
    | { context?: { endpointContextAsyncStorage?: { getStore?: () => { request?: object } | undefined } } }
    | undefined;
  const context = shared?.context?.endpointContextAsyncStorage?.getStore?.();
  return context?.request ?? context;
}
