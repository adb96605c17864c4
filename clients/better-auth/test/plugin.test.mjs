import assert from "node:assert/strict";
import { test } from "node:test";
import { createAuthEndpoint } from "better-auth/api";
import { Webhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { Clock } from "../dist/event.js";
import { authsync } from "../dist/index.js";
import { ada, auth, browser, eve, memory, Receiver, logged, secret } from "./helpers.mjs";

/** twice is a request that changes a user two times. */
const twice = {
  id: "twice",
  endpoints: {
    twice: createAuthEndpoint("/twice", { method: "POST" }, async (ctx) => {
      const [user] = await ctx.context.internalAdapter.listUsers(1);
      for (const name of ["Once", "Twice"]) await ctx.context.internalAdapter.updateUser(user.id, { name });
      return ctx.json({});
    }),
  },
};

test("a change is signed, and has what Better Auth returns of a row", async (t) => {
  const receiver = await Receiver.start(t);
  const call = browser(auth(authsync({ url: receiver.url, secret, exclude: { user: ["plan"] } })));
  const { user } = await call("/sign-up/email", ada);
  assert.deepEqual(receiver.types, ["user.created"]); // sessions are not asked for
  const [{ headers, body, data, timestamp }] = receiver.got;
  for (const Library of [Webhook, SvixWebhook]) {
    assert.equal(new Library(secret).verify(body, headers).data.id, user.id);
    assert.throws(() => new Library(secret).verify(body.replace("ada", "eve"), headers));
  }
  assert.equal(data.email, "ada@example.com");
  assert.equal(data.updatedAt, new Date(data.updatedAt).toISOString());
  assert.equal(data.note, undefined);
  assert.equal(data.plan, undefined);
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  await call("/update-user", { name: "Augusta King" });
  await call("/delete-user", { password: ada.password });
  assert.deepEqual(receiver.types, ["user.created", "user.updated", "user.deleted"]);
  assert.equal(new Set(receiver.got.map((event) => event.headers["webhook-id"])).size, 3);
});

test("a secret without whsec_ is used as its bytes", async (t) => {
  const receiver = await Receiver.start(t);
  await browser(auth(authsync({ url: receiver.url, secret: "a secret as it was typed" })))("/sign-up/email", ada);
  const [{ headers, body }] = receiver.got;
  new Webhook(new TextEncoder().encode("a secret as it was typed"), { format: "raw" }).verify(body, headers);
});

test("sessions are sent if asked for, without tokens", async (t) => {
  for (const elsewhere of [false, true]) {
    const receiver = await Receiver.start(t);
    const kept = new Map();
    const secondaryStorage = { get: (key) => kept.get(key), set: (key, value) => void kept.set(key, value), delete: (key) => void kept.delete(key) };
    const call = browser(auth(authsync({ url: receiver.url, secret, sessions: true }), elsewhere ? { secondaryStorage } : {}));
    await call("/sign-up/email", ada);
    const session = receiver.got.find((event) => event.type === "session.created");
    assert.ok(session.data.userId);
    assert.doesNotMatch(session.body, /token/);
    await call("/sign-out");
    if (!elsewhere) assert.ok(receiver.types.includes("session.deleted"));
  }
});

test("organizations, with what no hook sees", async (t) => {
  const receiver = await Receiver.start(t);
  const tables = memory();
  const server = auth(authsync({ url: receiver.url, secret }), { tables, plugins: [] });
  const call = browser(server);
  await call("/sign-up/email", ada);
  const { id: organizationId } = await call("/organization/create", { name: "Harbour Works", slug: "harbour-works" });
  const { id: invitationId } = await call("/organization/invite-member", { organizationId, email: eve.email, role: "member" });
  const other = browser(server);
  await other("/sign-up/email", eve);
  await other("/organization/accept-invitation", { invitationId });
  await other("/organization/leave", { organizationId });
  await call("/organization/delete", { organizationId });
  // Those of one transaction arrive in any order; their ids say in which they happened.
  const happened = receiver.got.toSorted((a, b) => (a.headers["webhook-id"] < b.headers["webhook-id"] ? -1 : 1));
  assert.deepEqual(happened.map((event) => event.type), [
    "user.created", "organization.created", "member.created", "invitation.created",
    "user.created", "invitation.updated", "member.created", "member.deleted", // left
    "member.deleted", "invitation.deleted", "organization.deleted",
  ]);
});

test("times rise, so that no two changes tie", () => {
  const milliseconds = [5, 5, 5, 4, 6];
  const clock = new Clock(() => milliseconds.shift());
  assert.deepEqual(Array.from({ length: 5 }, () => clock.next()), [5000, 5001, 5002, 5003, 6000]);
});

test("ids and times are in the order of the changes", async (t) => {
  const receiver = await Receiver.start(t);
  const call = browser(auth(authsync({ url: receiver.url, secret }), { plugins: [twice] }));
  await call("/sign-up/email", ada);
  for (let i = 0; i < 20; i++) await call("/twice");
  for (const order of [receiver.got.map((event) => event.timestamp), receiver.got.map((event) => event.headers["webhook-id"])]) {
    assert.deepEqual(order, [...new Set(order)].sort());
  }
});

test("nothing that happens to authsync fails a request, or holds it up for longer than maxWait", async (t) => {
  const receiver = await Receiver.start(t);
  const held = [];
  const later = globalThis.setTimeout;
  t.after(() => (globalThis.setTimeout = later));
  let waits = 0;
  globalThis.setTimeout = (call, after, ...more) => {
    if (after === 1234) waits++, (after = 20);
    return later(call, after, ...more);
  };
  const call = browser(auth(authsync({ url: receiver.url, secret, maxWait: 1234 }), { plugins: [twice] }));
  await call("/sign-up/email", ada);
  const cases = [
    ["a receiver that answers", 204, 1, 2],
    ["a receiver that hangs", (response) => held.push(response), 1, 1],
    ["a receiver that redirects", (response) => response.writeHead(302, { location: receiver.url }).end(), 1, 1],
    ["a receiver that cuts off", (response) => response.destroy(), 1, 1],
  ];
  for (const [what, answers, expected, least] of cases) {
    receiver.answers = answers;
    receiver.got.length = waits = 0;
    await call("/twice");
    assert.equal(waits, expected, what);
    await receiver.until((got) => got.length >= least);
    for (const response of held.splice(0)) response.destroy();
    // What is still being tried belongs to this case.
    receiver.answers = 204;
    await receiver.until((got) => got.at(-1).data.name === "Twice");
  }
  receiver.stop();
  await call("/twice");
});

test("an attempt that fails is repeated under the same id, with a new time", async (t) => {
  const receiver = await Receiver.start(t);
  let refused = 0;
  receiver.answers = (response) => response.writeHead(refused++ ? 204 : 503).end();
  await browser(auth(authsync({ url: receiver.url, secret, maxWait: 60_000 })))("/sign-up/email", ada);
  assert.equal(receiver.got.length, 2);
  assert.equal(receiver.got[0].headers["webhook-id"], receiver.got[1].headers["webhook-id"]);
  assert.equal(receiver.got[0].body, receiver.got[1].body);
  new Webhook(secret).verify(receiver.got[1].body, receiver.got[1].headers);
});

test("what is refused is not repeated, and logged without personal data", async (t) => {
  const receiver = await Receiver.start(t);
  receiver.answers = 413;
  logged.length = 0;
  await browser(auth(authsync({ url: receiver.url, secret })))("/sign-up/email", ada);
  assert.equal(receiver.got.length, 1);
  assert.match(logged.join(), /user\.created msg_\w+ was not sent: authsync answered 413/);
  assert.doesNotMatch(logged.join(), /ada/i);
});

test("a background task of the framework's is not waited for", async (t) => {
  const receiver = await Receiver.start(t);
  const held = [];
  receiver.answers = (response) => held.push(response);
  const tasks = [];
  const call = browser(auth(authsync({ url: receiver.url, secret, maxWait: 600_000 }), { advanced: { backgroundTasks: { handler: (task) => tasks.push(task) } } }));
  await call("/sign-up/email", ada);
  await receiver.until(() => held.length === 1);
  held[0].writeHead(204).end();
  await Promise.all(tasks);
});

test("a wrong setting is logged and fails nothing", async () => {
  for (const [options, words] of [
    [{ url: "", secret }, /url is not set/],
    [{ url: "somewhere", secret }, /url is not an address/],
    [{ url: "http://127.0.0.1:1", secret: "" }, /secret is not set/],
    [{ url: "http://127.0.0.1:1", secret: "whsec_%" }, /secret is not valid base64/],
    [{ url: "http://127.0.0.1:1", secret: "whsec_" }, /secret is not valid base64/],
  ]) {
    logged.length = 0;
    await browser(auth(authsync(options)))("/sign-up/email", ada);
    assert.match(logged.join(), words);
    if (options.secret) assert.ok(!logged.join().includes(options.secret.slice(8) || secret));
  }
});
