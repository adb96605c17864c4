import type { DBAdapter, DBTransactionAdapter, Where } from "better-auth";
import type { Action, Change, Row, Table } from "./event.js";

/** The most rows of one deletion or update of many that are read; what is beyond is left to a reconcile. */
const mostRows = 5000;
const pageSize = 500;

/** Observer receives changes once they are committed, and what it will miss. It must not throw. */
export interface Observer {
  changed(changes: Change[]): Promise<void>;
  missed(model: string): void;
}

/**
 * observe returns an adapter that does what the given one does and notifies the observer. Unlike hooks it sees all that
 * Better Auth writes: members who leave, invitations that a newer one replaces, updates of plugins by the adapter, and
 * the rows that a foreign key deletes together with a user.
 *
 * What it reads itself is a row before its deletion, or the rows that an update of many has changed. A failure to read
 * is not the caller's: the write goes on.
 */
export function observe(adapter: DBAdapter, tables: Record<string, Table>, models: ReadonlySet<string>, observer: Observer): DBAdapter {
  const watch = new Watch(tables, models, observer);
  return {
    ...adapter,
    ...watch.writes(adapter, (changes) => observer.changed(changes)),
    transaction: async (callback) => {
      const pending: Change[] = [];
      try {
        const result = await adapter.transaction((trx) =>
          callback({
            ...trx,
            ...watch.writes(trx, async (changes) => {
              pending.push(...changes);
            }),
          }),
        );
        await observer.changed(pending);
        return result;
      } catch (error) {
        // What is rolled back has not happened. An adapter without transactions rolls nothing back.
        if (adapter.options?.adapterConfig.transaction === false) await observer.changed(pending);
        throw error;
      }
    },
  };
}

type Emit = (changes: Change[]) => Promise<void>;

type Writes = Pick<DBAdapter, "create" | "update" | "updateMany" | "delete" | "deleteMany" | "consumeOne" | "incrementOne">;

class Watch {
  readonly #names = new Map<string, string>();
  readonly #dependents = new Map<string, { model: string; field: string }[]>();

  constructor(
    tables: Record<string, Table>,
    models: ReadonlySet<string>,
    private readonly observer: Observer,
  ) {
    for (const model of models) {
      const table = tables[model];
      if (!table) continue; // its plugin is off
      this.#names.set(model, model).set(table.modelName, model);
    }
    for (const model of new Set(this.#names.values())) {
      for (const [field, { references }] of Object.entries(tables[model]?.fields ?? {})) {
        const parent = this.#names.get(references?.model ?? "");
        if (parent) this.#dependents.set(parent, [...(this.#dependents.get(parent) ?? []), { model, field }]);
      }
    }
  }

  /** writes are the methods of an adapter that write, emitting what they wrote. */
  writes(adapter: DBTransactionAdapter, emit: Emit): Writes {
    const emitted = async <T>(written: T, model: string | undefined, action: Action, rows: unknown[]): Promise<T> => {
      if (model) await emit(rows.filter(isRow).map((row) => ({ model, action, row })));
      return written;
    };
    const deletion = async <T>(args: { model: string; where: Where[] }, run: () => Promise<T>): Promise<T> => {
      const model = this.#names.get(args.model);
      if (!model) return run();
      const rows = await this.#read(adapter, model, args.where, mostRows);
      const dependents = await this.#dependentsOf(adapter, model, rows);
      const deleted = await run();
      const gone = await this.#gone(adapter, dependents);
      await emit([...gone, ...rows.map((row): Change => ({ model, action: "deleted", row }))]);
      return deleted;
    };
    return {
      create: async <T extends Record<string, any>, R = T>(args: Parameters<typeof adapter.create<T, R>>[0]): Promise<R> => {
        const row = await adapter.create<T, R>(args);
        const model = this.#names.get(args.model);
        if (model && args.select && isRow(row)) {
          return emitted(row, model, "created", await this.#read(adapter, model, [{ field: "id", value: row.id as string }], 1));
        }
        return emitted(row, model, "created", [row]);
      },
      update: async <T>(args: Parameters<typeof adapter.update<T>>[0]): Promise<T | null> => {
        const row = await adapter.update<T>(args);
        return emitted(row, this.#names.get(args.model), "updated", [row]);
      },
      incrementOne: async <T>(args: Parameters<typeof adapter.incrementOne<T>>[0]): Promise<T | null> => {
        const row = await adapter.incrementOne<T>(args);
        return emitted(row, this.#names.get(args.model), "updated", [row]);
      },
      updateMany: async (args) => {
        const model = this.#names.get(args.model);
        if (!model) return adapter.updateMany(args);
        // Afterwards the rows may not match any more, so that their ids are read before.
        const before = await this.#read(adapter, model, args.where, mostRows);
        const count = await adapter.updateMany(args);
        return emitted(count, model, "updated", await this.#readIds(adapter, model, before.map((row) => row.id)));
      },
      delete: async (args) => deletion(args, () => adapter.delete(args)),
      deleteMany: async (args) => deletion(args, () => adapter.deleteMany(args)),
      consumeOne: async <T>(args: Parameters<typeof adapter.consumeOne<T>>[0]): Promise<T | null> => {
        const row = await adapter.consumeOne<T>(args);
        return emitted(row, this.#names.get(args.model), "deleted", [row]);
      },
    };
  }

  /** dependentsOf are rows that refer to these, and which the database may delete with them. */
  async #dependentsOf(adapter: DBTransactionAdapter, model: string, rows: Row[]): Promise<Change[]> {
    const ids = rows.map((row) => row.id as string);
    const found = new Map<string, Change>();
    if (ids.length === 0) return [];
    for (const { model: dependent, field } of this.#dependents.get(model) ?? []) {
      for (const row of await this.#read(adapter, dependent, [{ field, operator: "in", value: ids }], mostRows)) {
        found.set(`${dependent}/${String(row.id)}`, { model: dependent, action: "deleted", row });
      }
    }
    return [...found.values()];
  }

  /** gone are those that are not there any more. */
  async #gone(adapter: DBTransactionAdapter, dependents: Change[]): Promise<Change[]> {
    const kept = new Set<string>();
    for (const model of new Set(dependents.map((change) => change.model))) {
      const ids = dependents.filter((change) => change.model === model).map((change) => change.row.id);
      for (const row of await this.#readIds(adapter, model, ids)) kept.add(`${model}/${String(row.id)}`);
    }
    return dependents.filter((change) => !kept.has(`${change.model}/${String(change.row.id)}`));
  }

  async #readIds(adapter: DBTransactionAdapter, model: string, ids: unknown[]): Promise<Row[]> {
    const rows: Row[] = [];
    for (let from = 0; from < ids.length; from += pageSize) {
      const page = ids.slice(from, from + pageSize) as string[];
      rows.push(...(await this.#read(adapter, model, [{ field: "id", operator: "in", value: page }], pageSize)));
    }
    return rows;
  }

  /** read returns at most so many rows. An adapter without a limit returns a hundred. */
  async #read(adapter: DBTransactionAdapter, model: string, where: Where[], most: number): Promise<Row[]> {
    const rows: Row[] = [];
    try {
      while (rows.length < most) {
        const limit = Math.min(pageSize, most - rows.length);
        const page = await adapter.findMany<Row>({ model, where, limit, offset: rows.length, sortBy: { field: "id", direction: "asc" } });
        rows.push(...page);
        if (page.length < limit) return rows;
      }
      if (most > 1) this.observer.missed(model);
    } catch {
      this.observer.missed(model);
    }
    return rows;
  }
}

function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && "id" in value;
}
