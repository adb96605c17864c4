import type { DBAdapter } from "better-auth";
import type { Event } from "./event.js";
import type { Log } from "./log.js";
import type { Sender } from "./send.js";
import { Serial, unref } from "./serial.js";

export const outboxModel = "authsyncOutbox";

/** The table, as Better Auth's migrations create it. */
export const outboxSchema = {
  [outboxModel]: {
    fields: {
      /** The webhook-id. Sorts as the events happened. */
      eventId: { type: "string", required: true, unique: true, input: false, returned: false },
      /** Such as user/ID: the events of one record are sent in order. */
      record: { type: "string", required: true, index: true, input: false, returned: false },
      type: { type: "string", required: true, input: false, returned: false },
      /** The signed bytes, but for id and time of the attempt. */
      body: { type: "string", required: true, input: false, returned: false },
      /** Until then a process is sending the row, and others leave it alone. */
      claimedUntil: { type: "date", required: true, input: false, returned: false },
      createdAt: { type: "date", required: true, input: false, returned: false },
    },
  },
} as const;

interface OutboxRow extends Event {
  eventId: string;
}

export interface Flushed {
  /** Events that this call sent. */
  sent: number;
  /** Events that are left in the table. */
  waiting: number;
}

const pageSize = 100;
const parallel = 8;
const shortestBackoff = 1000;
const longestBackoff = 300_000;

/**
 * Outbox keeps events in a table until authsync has taken them.
 *
 * Durable: an event is in the table before the request that caused it is answered, and leaves it after a 2xx. A process
 *          that dies in between leaves a row whose claim expires, and any process sends it again under the same id.
 * Order:   events of one record are sent oldest first, each after the one before it was taken. Whoever finds a row
 *          claimed by another process leaves the later ones of its record alone.
 * Bounded: maxRows, counted now and then: several processes may pass it by a twentieth each.
 */
export class Outbox {
  readonly #serial = new Serial();
  readonly #mine = new Set<string>();
  #flushing: Promise<number> | undefined;
  #rows = 0;
  #countedAt = -Infinity;
  #addedSince = 0;
  #failures = 0;
  #retryAt = 0;
  #timer: unknown;

  constructor(
    private readonly adapter: DBAdapter,
    private readonly sender: Sender,
    private readonly settings: { maxRows: number; flushInterval: number; timeout: number },
    private readonly log: Log,
    private readonly now: () => number = Date.now,
  ) {}

  /** start looks for what an earlier process left, and goes on looking. */
  start(): void {
    this.#schedule(Math.min(1000, this.settings.flushInterval));
  }

  /** keep stores an event; it returns false, having logged why, if there is no room or no table. */
  async keep(event: Event): Promise<boolean> {
    // Per record, so that a later event is never in the table before an earlier one.
    return this.#serial.run(`keep ${event.record}`, async () => {
      try {
        if (!(await this.#hasCapacity())) {
          this.log.error(`the outbox is full (${this.settings.maxRows} rows): see why authsync does not answer, then run a reconcile`);
          return false;
        }
        this.#mine.add(event.id);
        await this.adapter.create({
          model: outboxModel,
          data: {
            eventId: event.id,
            record: event.record,
            type: event.type,
            body: event.body,
            claimedUntil: this.#lease(),
            createdAt: new Date(this.now()),
          },
        });
        this.#addedSince++;
        return true;
      } catch {
        this.#mine.delete(event.id);
        this.log.error(`the table ${outboxModel} cannot be written to: let Better Auth's migrations create it (npx auth migrate)`);
        return false;
      }
    });
  }

  /** deliver sends what is kept of a record, unless authsync is known not to answer. */
  async deliver(record: string): Promise<void> {
    if (this.now() < this.#retryAt) {
      await this.#release(record);
      return;
    }
    try {
      await this.#serial.run(record, () => this.#deliver(record));
    } catch {
      this.log.error(`the table ${outboxModel} cannot be read`);
    }
  }

  /** flush sends what is kept of all records. At its end, or once authsync fails to answer, it returns what is left. */
  async flush(until = Infinity): Promise<Flushed> {
    this.#flushing ??= this.#flush(until).finally(() => {
      this.#flushing = undefined;
    });
    const sent = await this.#flushing;
    return { sent, waiting: await this.adapter.count({ model: outboxModel }) };
  }

  async #flush(until: number): Promise<number> {
    this.#retryAt = 0;
    let sent = 0;
    let after = "";
    const blocked = new Set<string>();
    for (;;) {
      const rows = await this.#rowsWhere({ field: "eventId", operator: "gt", value: after });
      const records = [...new Set(rows.map((row) => row.record))].filter((record) => !blocked.has(record));
      const workers = Array.from({ length: parallel }, async () => {
        for (let record = records.shift(); record !== undefined; record = records.shift()) {
          if (this.#retryAt > 0 || this.now() > until) return;
          const next = record;
          const done = await this.#serial.run(next, () => this.#deliver(next));
          sent += done.sent;
          if (!done.empty) blocked.add(next);
        }
      });
      await Promise.all(workers);
      if (rows.length < pageSize || this.#retryAt > 0 || this.now() > until) return sent;
      after = rows.at(-1)?.eventId ?? after;
    }
  }

  /** deliver sends a record's rows, oldest first, until none is left or one cannot be sent. */
  async #deliver(record: string): Promise<{ sent: number; empty: boolean }> {
    let sent = 0;
    for (;;) {
      const rows = await this.#rowsWhere({ field: "record", operator: "eq", value: record });
      for (const row of rows) {
        if (!(await this.#claim(row.eventId))) return { sent, empty: false };
        const result = await this.sender.send({ id: row.eventId, type: row.type, record: row.record, body: row.body });
        if (result.outcome === "failed") {
          this.#failed(result.reason);
          await this.#release(record);
          return { sent, empty: false };
        }
        if (result.outcome === "refused") this.log.lost({ ...row, id: row.eventId }, result.reason);
        else sent++;
        this.#failures = 0;
        await this.adapter.deleteMany({ model: outboxModel, where: [{ field: "eventId", value: row.eventId }] });
        this.#mine.delete(row.eventId);
        this.#rows--;
      }
      if (rows.length < pageSize) return { sent, empty: true };
    }
  }

  /** claim keeps other processes from sending the row, until the lease ends. */
  async #claim(eventId: string): Promise<boolean> {
    if (this.#mine.has(eventId)) return true;
    const claimed = await this.adapter.updateMany({
      model: outboxModel,
      where: [
        { field: "eventId", value: eventId },
        { field: "claimedUntil", operator: "lte", value: new Date(this.now()) },
      ],
      update: { claimedUntil: this.#lease() },
    });
    if (claimed > 0) this.#mine.add(eventId);
    return claimed > 0;
  }

  /** release lets any process send what this one has of a record. */
  async #release(record: string): Promise<void> {
    try {
      const rows = await this.#rowsWhere({ field: "record", operator: "eq", value: record });
      for (const { eventId } of rows.filter((row) => this.#mine.delete(row.eventId))) {
        await this.adapter.updateMany({
          model: outboxModel,
          where: [{ field: "eventId", value: eventId }],
          update: { claimedUntil: new Date(this.now()) },
        });
      }
    } catch {
      // The claim expires by itself.
    }
  }

  #lease(): Date {
    return new Date(this.now() + 2 * this.settings.timeout);
  }

  async #rowsWhere(where: { field: string; operator: "eq" | "gt"; value: string }): Promise<OutboxRow[]> {
    return this.adapter.findMany<OutboxRow>({
      model: outboxModel,
      where: [where],
      sortBy: { field: "eventId", direction: "asc" },
      limit: pageSize,
    });
  }

  async #hasCapacity(): Promise<boolean> {
    const now = this.now();
    if (now - this.#countedAt > 30_000 || this.#addedSince >= this.settings.maxRows / 20) {
      this.#rows = await this.adapter.count({ model: outboxModel });
      this.#countedAt = now;
      this.#addedSince = 0;
    }
    return this.#rows + this.#addedSince < this.settings.maxRows;
  }

  #failed(reason: string): void {
    const pause = Math.min(longestBackoff, shortestBackoff * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    this.#retryAt = this.now() + pause;
    this.log.warn(`${reason}; what is kept in the outbox is sent later`);
    this.#schedule(pause);
  }

  /** schedule looks again after some time; without an interval of its own, flush is called by somebody else. */
  #schedule(milliseconds: number): void {
    if (this.settings.flushInterval <= 0) return;
    clearTimeout(this.#timer as number);
    this.#timer = setTimeout(() => void this.#look(), Math.min(milliseconds, this.settings.flushInterval));
    unref(this.#timer);
  }

  async #look(): Promise<void> {
    try {
      if (this.now() >= this.#retryAt) await this.flush();
    } catch {
      // The table is not there yet, or the database is away: keep logs that.
    }
    this.#schedule(Math.max(this.settings.flushInterval, this.#retryAt - this.now()));
  }
}
