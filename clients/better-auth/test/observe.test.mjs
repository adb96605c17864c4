import assert from "node:assert/strict";
import { test } from "node:test";
import { observe } from "../dist/observe.js";

const tables = { user: { modelName: "accounts", fields: {} }, verification: { modelName: "verification", fields: {} } };

/** observed is an adapter on nothing, and what is heard of its writes. */
function observed(transaction, own = {}) {
  const seen = [];
  const missed = [];
  const adapter = {
    options: { adapterConfig: { transaction } },
    create: async ({ data }) => ({ id: "1", ...data }),
    update: async () => null,
    updateMany: async () => 1,
    deleteMany: async () => 1,
    findMany: async () => [],
    ...own,
  };
  adapter.transaction = (callback) => callback(adapter);
  const observer = { changed: async (changes) => void seen.push(...changes.map((c) => `${c.model}.${c.action}`)), missed: (model) => missed.push(model) };
  return { adapter: observe(adapter, tables, new Set(["user"]), observer), seen, missed };
}

const create = (adapter, model = "user") => adapter.create({ model, data: {} });

async function failing(adapter) {
  await assert.rejects(
    adapter.transaction(async (trx) => {
      await create(trx);
      throw new Error("of the caller");
    }),
    /of the caller/,
  );
}

test("what is rolled back has not happened", async () => {
  const { adapter, seen } = observed((callback) => callback());
  await failing(adapter);
  assert.deepEqual(seen, []);
  await adapter.transaction(async (trx) => {
    await create(trx);
    assert.deepEqual(seen, []); // not before the commit
  });
  assert.deepEqual(seen, ["user.created"]);
});

test("an adapter without transactions rolls nothing back", async () => {
  const { adapter, seen } = observed(false);
  await failing(adapter);
  assert.deepEqual(seen, ["user.created"]);
});

test("a table is known by its own name too, and others are nobody's concern", async () => {
  const { adapter, seen } = observed(false);
  await create(adapter, "accounts");
  await create(adapter, "verification");
  await adapter.update({ model: "user", where: [], update: {} }); // of nobody
  assert.deepEqual(seen, ["user.created"]);
});

test("a row that cannot be read fails no write", async () => {
  const { adapter, missed } = observed(false, { findMany: () => Promise.reject(new Error("away")) });
  assert.equal(await adapter.deleteMany({ model: "user", where: [] }), 1);
  assert.equal(await adapter.updateMany({ model: "user", where: [], update: {} }), 1);
  assert.deepEqual(missed, ["user", "user"]);
});

test("so many rows at once are read in part, which is reported", async () => {
  const all = Array.from({ length: 6000 }, (_, i) => ({ id: `${i}` }));
  const { adapter, seen, missed } = observed(false, { findMany: async ({ limit, offset }) => all.slice(offset, offset + limit) });
  await adapter.deleteMany({ model: "user", where: [] });
  assert.equal(seen.length, 5000);
  assert.deepEqual(missed, ["user"]);
});
