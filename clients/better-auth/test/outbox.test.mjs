import assert from "node:assert/strict";
import { test } from "node:test";
import { getAuthTables } from "better-auth/db";
import { authsync, flush } from "../dist/index.js";
import { ada, auth, browser, memory, Receiver, logged, secret } from "./helpers.mjs";

const byHand = { flushInterval: 0 };

/** outage lets changes happen while authsync does not answer, and returns how many are kept. */
async function outage(receiver, tables, changes, outbox = byHand) {
  receiver.answers = 503;
  const call = browser(auth(authsync({ url: receiver.url, secret, outbox }), { tables }));
  await call("/sign-up/email", { ...ada, email: `${tables.user.length}@example.com` });
  for (let i = 1; i < changes; i++) await call("/update-user", { name: `Name ${i}` });
  receiver.answers = 204;
  receiver.got.length = 0;
  return tables.authsyncOutbox.length;
}

/** firsts are the events in the order in which each arrived for the first time. */
function firsts(got) {
  const ids = new Set();
  return got.filter(({ headers }) => !ids.has(headers["webhook-id"]) && ids.add(headers["webhook-id"]));
}

/** inOrder requires that the events of each record arrived in the order of their ids. */
function inOrder(got) {
  const last = new Map();
  for (const { data, headers } of firsts(got)) {
    const id = headers["webhook-id"];
    assert.ok(id > (last.get(data.id) ?? ""), `${id} came after ${last.get(data.id)}`);
    last.set(data.id, id);
  }
}

test("what authsync takes at once leaves nothing behind", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  const tasks = [];
  const advanced = { backgroundTasks: { handler: (task) => tasks.push(task) } };
  const call = browser(auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables, advanced }));
  await call("/sign-up/email", ada);
  await call("/update-user", { name: "Augusta King" });
  await Promise.all(tasks);
  assert.deepEqual(receiver.types, ["user.created", "user.updated"]);
  assert.deepEqual(tables.authsyncOutbox, []);
});

test("what happens in an outage is sent after it, in order", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  assert.equal(await outage(receiver, tables, 5), 5);
  // Nobody who was there is there any more.
  const server = auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables });
  assert.deepEqual(await flush(server), { sent: 5, waiting: 0 });
  assert.deepEqual(receiver.types, ["user.created", ...Array(4).fill("user.updated")]);
  assert.deepEqual(receiver.got.map((event) => event.data.name), [ada.name, "Name 1", "Name 2", "Name 3", "Name 4"]);
  assert.deepEqual(await flush(server), { sent: 0, waiting: 0 });
});

test("a later change waits for an earlier one that is kept", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 3);
  const call = browser(auth(authsync({ url: receiver.url, secret, maxWait: 60_000, outbox: byHand }), { tables }));
  await call("/sign-in/email", { email: "0@example.com", password: ada.password });
  await call("/update-user", { name: "Name 3" });
  assert.deepEqual(receiver.got.map((event) => event.data.name), [ada.name, "Name 1", "Name 2", "Name 3"]);
  assert.deepEqual(tables.authsyncOutbox, []);
});

test("a server that starts sends what is kept, by itself", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 3);
  const server = auth(authsync({ url: receiver.url, secret, outbox: true }), { tables });
  await server.$context;
  await receiver.until((got) => got.length === 3);
  inOrder(receiver.got);
});

test("a server that met an outage goes on by itself", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 3, { flushInterval: 20 });
  await receiver.until((got) => got.length >= 3);
  inOrder(receiver.got);
});

test("two that flush at once lose nothing and keep the order", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  for (let users = 0; users < 6; users++) await outage(receiver, tables, 25);
  const kept = tables.authsyncOutbox.map((row) => row.eventId).sort();
  assert.equal(kept.length, 150);
  receiver.answers = (response) => setImmediate(() => response.writeHead(204).end());
  const servers = [1, 2, 3].map(() => auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables }));
  await Promise.all(servers.map((server) => flush(server)));
  // Where one found a row claimed it left the record to the other.
  assert.deepEqual(firsts(receiver.got).map((event) => event.headers["webhook-id"]).sort(), kept);
  inOrder(receiver.got);
  assert.deepEqual(tables.authsyncOutbox, []);
  assert.equal(receiver.got.length, kept.length); // nor was anything sent twice
});

test("what another process claimed holds up its record, until the claim expires", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 2);
  await outage(receiver, tables, 2);
  const [row] = tables.authsyncOutbox;
  row.claimedUntil = new Date(Date.now() + 3_600_000);
  const server = auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables });
  assert.deepEqual(await flush(server), { sent: 2, waiting: 2 });
  assert.ok(receiver.got.every((event) => `user/${event.data.id}` !== row.record));
  row.claimedUntil = new Date(Date.now() - 1);
  assert.deepEqual(await flush(server), { sent: 2, waiting: 0 });
  inOrder(receiver.got);
});

test("a flush ends when authsync fails again, and repeats under the same id", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 4);
  const server = auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables });
  receiver.answers = (response) => response.writeHead(receiver.got.length === 2 ? 503 : 204).end();
  assert.deepEqual(await flush(server), { sent: 1, waiting: 3 });
  assert.equal(receiver.got.length, 2);
  assert.deepEqual(await flush(server), { sent: 3, waiting: 0 });
  assert.equal(receiver.got[1].headers["webhook-id"], receiver.got[2].headers["webhook-id"]);
  assert.equal(receiver.got[1].body, receiver.got[2].body);
  inOrder(receiver.got);
});

test("a flush ends at the time that it is given", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 2);
  assert.deepEqual(await flush(auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables }), 0), { sent: 0, waiting: 2 });
});

test("while authsync is known not to answer, requests only keep", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  receiver.answers = 503;
  const call = browser(auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables }));
  await call("/sign-up/email", ada);
  for (let i = 0; i < 5; i++) await call("/update-user", { name: `Name ${i}` });
  assert.equal(receiver.got.length, 1);
  assert.equal(tables.authsyncOutbox.length, 6);
  assert.ok(tables.authsyncOutbox.every((row) => row.claimedUntil <= new Date())); // for any process
});

test("the table is bounded", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  logged.length = 0;
  assert.equal(await outage(receiver, tables, 5, { maxRows: 3, flushInterval: 0 }), 3);
  assert.match(logged.join(), /the outbox is full \(3 rows\)/);
});

test("without the table changes are sent all the same", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  delete tables.authsyncOutbox;
  logged.length = 0;
  await browser(auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables }))("/sign-up/email", ada);
  assert.deepEqual(receiver.types, ["user.created"]);
  assert.match(logged.join(), /npx auth migrate/);
});

test("what authsync refuses leaves the table, and is logged", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  await outage(receiver, tables, 2);
  receiver.answers = 413;
  logged.length = 0;
  assert.deepEqual(await flush(auth(authsync({ url: receiver.url, secret, outbox: byHand }), { tables })), { sent: 0, waiting: 0 });
  assert.equal(logged.filter((line) => /user\.\w+ msg_\w+ was not sent: authsync answered 413/.test(line)).length, 2);
});

test("the table is a part of the schema only with the option", async () => {
  const names = (outbox) => Object.keys(getAuthTables({ plugins: [authsync({ outbox })] }));
  assert.ok(names(true).includes("authsyncOutbox"));
  assert.ok(!names(false).includes("authsyncOutbox"));
  await assert.rejects(flush(auth(authsync({ url: "http://127.0.0.1:1", secret }))), /no authsync plugin with outbox: true/);
});
