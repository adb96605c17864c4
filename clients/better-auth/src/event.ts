/** Row is a row as Better Auth's adapter returns it. */
export type Row = Record<string, unknown>;

export type Action = "created" | "updated" | "deleted";

/** Change is one row that was written. */
export interface Change {
  model: string;
  action: Action;
  row: Row;
}

/** Event is a change as it is sent. Its id and body stay the same however often it is sent. */
export interface Event {
  /** The webhook-id. Ids sort in the order in which this process saw the changes. */
  id: string;
  type: string;
  /** The record that the event is about, as "user/ID": events of one record are sent in order. */
  record: string;
  body: string;
}

/** Table is what the schema says of a model. */
export interface Table {
  modelName: string;
  fields: Record<string, { returned?: boolean | undefined; references?: { model: string } | undefined }>;
}

/**
 * Clock gives each change a time of its own. Rows of organizations, members and invitations have no updatedAt, so the
 * event's time decides which of two changes is the newer one, and two in one millisecond must not tie.
 */
export class Clock {
  #last = 0;

  constructor(private readonly now: () => number = Date.now) {}

  /** next returns microseconds since 1970, later than all it returned before. */
  next(): number {
    this.#last = Math.max(this.now() * 1000, this.#last + 1);
    return this.#last;
  }
}

/** Events makes events of changes. */
export class Events {
  constructor(
    private readonly tables: Record<string, Table>,
    private readonly exclude: Partial<Record<string, readonly string[]>>,
    private readonly clock = new Clock(),
  ) {}

  /** of returns the event of a change; it throws what JSON.stringify throws. */
  of({ model, action, row }: Change): Event {
    const at = this.clock.next();
    const type = `${model}.${action}`;
    const second = new Date(Math.floor(at / 1_000_000) * 1000).toISOString().slice(0, 19);
    const timestamp = `${second}.${String(at % 1_000_000).padStart(6, "0")}Z`;
    return {
      id: `msg_${String(at).padStart(17, "0")}_${randomText()}`,
      type,
      record: `${model}/${String(row.id)}`,
      body: JSON.stringify({ type, timestamp, data: this.#shown(model, row) }),
    };
  }

  /** Adapters return every column: this leaves out what Better Auth itself never returns, tokens and what is excluded. */
  #shown(model: string, row: Row): Row {
    const fields = this.tables[model]?.fields ?? {};
    const excluded = this.exclude[model] ?? [];
    return Object.fromEntries(
      Object.entries(row).filter(([name]) => fields[name]?.returned !== false && name !== "token" && !excluded.includes(name)),
    );
  }
}

function randomText(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
