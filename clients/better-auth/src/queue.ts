import type { Event } from "./event.js";
import type { Log } from "./log.js";
import type { Sender } from "./send.js";
import { Serial, sleep } from "./serial.js";

/** Milliseconds before the second and the third attempt. */
const pauses = [500, 2000];

/** The most events that wait in memory while authsync does not answer. */
const mostWaiting = 1000;

/**
 * Queue sends from memory: events of one record in order, each up to three times. What fails, and what waits while the
 * process ends, is lost to everything but a reconcile.
 */
export class Queue {
  readonly #serial = new Serial();
  #waiting = 0;

  constructor(
    private readonly sender: Sender,
    private readonly log: Log,
    private readonly pause: (milliseconds: number) => Promise<void> = sleep,
  ) {}

  async take(event: Event): Promise<void> {
    if (this.#waiting >= mostWaiting) {
      this.log.lost(event, `${mostWaiting} events are waiting already`);
      return;
    }
    this.#waiting++;
    try {
      await this.#serial.run(event.record, () => this.#send(event));
    } finally {
      this.#waiting--;
    }
  }

  async #send(event: Event): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const result = await this.sender.send(event);
      if (result.outcome === "sent") return;
      const pause = pauses[attempt];
      if (result.outcome === "refused" || pause === undefined) {
        this.log.lost(event, result.reason);
        return;
      }
      await this.pause(pause);
    }
  }
}
