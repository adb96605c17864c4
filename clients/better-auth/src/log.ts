import type { Event } from "./event.js";

/** Logger is Better Auth's. */
export interface Logger {
  error(message: string): void;
  warn(message: string): void;
  debug(message: string): void;
}

/** Log writes what an operator must know, without personal data, the same message at most once a minute. */
export class Log {
  readonly #written = new Map<string, number>();

  constructor(
    private readonly logger: Logger,
    private readonly now: () => number = Date.now,
  ) {}

  /** lost reports an event that will not be sent. Each is reported, by its id. */
  lost(event: Event, reason: string): void {
    this.#write("error", `${event.type} ${event.id} was not sent: ${reason}. A reconcile finds what it changed.`);
  }

  error(message: string): void {
    this.#once("error", message);
  }

  warn(message: string): void {
    this.#once("warn", message);
  }

  #once(level: "error" | "warn", message: string): void {
    const now = this.now();
    if (now - (this.#written.get(message) ?? -Infinity) < 60_000) return;
    this.#written.set(message, now);
    this.#write(level, message);
  }

  #write(level: "error" | "warn", message: string): void {
    try {
      this.logger[level](`[authsync] ${message}`);
    } catch {
      // A logger of the customer's that throws fails no request either.
    }
  }
}
