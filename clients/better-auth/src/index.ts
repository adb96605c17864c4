import type { AuthContext, BetterAuthPlugin, DBAdapter } from "better-auth";
import { Budget } from "./budget.js";
import { Events, type Change, type Event, type Row, type Table } from "./event.js";
import { Log } from "./log.js";
import { observe, type Observer } from "./observe.js";
import { complaint, settle, type AuthsyncOptions, type Settings } from "./options.js";
import { Outbox, outboxSchema, type Flushed } from "./outbox.js";
import { Queue } from "./queue.js";
import { Sender } from "./send.js";

export type { AuthsyncOptions, Model, OutboxOptions } from "./options.js";
export type { Flushed } from "./outbox.js";

const pluginId = "authsync";

/** By the context of a Better Auth server: its outbox. */
const outboxes = new WeakMap<object, Outbox>();

/**
 * authsync sends every change of users, organizations, members and invitations that Better Auth makes to authsync's
 * receiver. It never fails a request, and holds one up for maxWait at most.
 *
 *     betterAuth({ plugins: [authsync({ outbox: true })] })
 */
export function authsync(options: AuthsyncOptions = {}) {
  const settings = settle(options);
  return {
    id: pluginId,
    // Without an outbox there is no table.
    schema: (settings.outbox ? outboxSchema : {}) as typeof outboxSchema | Record<string, never>,
    init(context: AuthContext) {
      const log = new Log(context.logger);
      const wrong = complaint(settings);
      if (wrong) {
        log.error(`nothing is sent: ${wrong}`);
        return {};
      }
      return start(context, settings, log);
    },
  } satisfies BetterAuthPlugin;
}

/**
 * flush sends what the outbox holds, oldest first, for as long as until allows (milliseconds since 1970). Servers do
 * that by themselves; call it from a scheduled function where no server keeps running. It rejects if the database does.
 */
export async function flush(auth: { $context: Promise<{ adapter: object }> }, until?: number): Promise<Flushed> {
  const outbox = outboxes.get((await auth.$context).adapter);
  if (!outbox) throw new Error("this Better Auth has no authsync plugin with outbox: true");
  return outbox.flush(until);
}

function start(context: AuthContext, settings: Settings, log: Log) {
  const own = context.adapter;
  const sender = new Sender(settings);
  const outbox = settings.outbox && new Outbox(own, sender, { ...settings.outbox, timeout: settings.timeout }, log);
  const observer = new Plugin(context, settings, log, sender, outbox);
  const adapter: DBAdapter = observe(own, context.tables as Record<string, Table>, settings.models, observer);
  if (outbox) {
    outboxes.set(adapter, outbox);
    outbox.start();
  }
  return { context: { adapter }, options: elsewhere(context, settings, observer) };
}

/** Sessions that are kept in a secondary storage alone pass no adapter, but hooks. */
function elsewhere(context: AuthContext, settings: Settings, observer: Observer) {
  const { secondaryStorage, session } = context.options;
  if (!settings.models.has("session") || !secondaryStorage || session?.storeSessionInDatabase) return {};
  const hook = (action: Change["action"]) => ({
    after: async (row: unknown) => {
      if (typeof row === "object" && row !== null && "id" in row) await observer.changed([{ model: "session", action, row: row as Row }]);
    },
  });
  return { databaseHooks: { session: { create: hook("created"), update: hook("updated"), delete: hook("deleted") } } };
}

class Plugin implements Observer {
  readonly #events: Events;
  readonly #budget: Budget;
  readonly #queue: Queue;

  constructor(
    private readonly context: AuthContext,
    settings: Settings,
    private readonly log: Log,
    sender: Sender,
    private readonly outbox: Outbox | null,
  ) {
    this.#events = new Events(context.tables as Record<string, Table>, settings.exclude);
    this.#budget = new Budget(settings.maxWait);
    this.#queue = new Queue(sender, log);
  }

  async changed(changes: Change[]): Promise<void> {
    const events = changes.flatMap((change) => this.#event(change));
    if (events.length === 0) return;
    try {
      const { outbox } = this;
      // Not within the budget: it is one more statement to the database that has just taken the change.
      const kept = outbox ? await Promise.all(events.map((event) => outbox.keep(event))) : [];
      const sent = this.#send(events, kept).catch(() => this.log.error("changes could not be sent"));
      if (this.context.options.advanced?.backgroundTasks?.handler) this.context.runInBackground(sent);
      else await this.#budget.wait(sent);
    } catch {
      this.log.error("changes could not be handed over");
    }
  }

  missed(model: string): void {
    this.log.error(`not all rows of ${model} that were written at once could be read: a reconcile finds the others`);
  }

  #event(change: Change): Event[] {
    try {
      return [this.#events.of(change)];
    } catch {
      this.log.error(`a row of ${change.model} cannot be written as JSON, and is not sent`);
      return [];
    }
  }

  async #send(events: Event[], kept: boolean[]): Promise<void> {
    const records = new Set(events.filter((_, i) => kept[i]).map((event) => event.record));
    await Promise.all([
      ...[...records].map((record) => this.outbox?.deliver(record)),
      ...events.filter((_, i) => !kept[i]).map((event) => this.#queue.take(event)),
    ]);
  }
}
