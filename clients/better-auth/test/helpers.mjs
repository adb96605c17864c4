import http from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { organization } from "better-auth/plugins";

export const secret = "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAyLWxvbmdlcg==";

/** Receiver is an authsync that does what a test says: answers is a status, or a function that keeps the response. */
export class Receiver {
  answers = 204;
  got = [];
  #waiting = [];

  static async start(t) {
    const receiver = new Receiver();
    receiver.server = http.createServer((request, response) => {
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        receiver.got.push({ headers: request.headers, body, ...JSON.parse(body) });
        if (typeof receiver.answers === "function") receiver.answers(response);
        else response.writeHead(receiver.answers).end();
        for (const look of receiver.#waiting.splice(0)) look();
      });
    });
    await new Promise((on) => receiver.server.listen(0, "127.0.0.1", on));
    t.after(() => receiver.stop());
    receiver.url = `http://127.0.0.1:${receiver.server.address().port}`;
    return receiver;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  get types() {
    return this.got.map((event) => event.type);
  }

  /** until waits for what must arrive. */
  async until(holds) {
    while (!holds(this.got)) await new Promise((on) => this.#waiting.push(on));
  }
}

export const logged = [];

/** auth is a Better Auth server on tables in memory, which several may share. */
export function auth(plugin, { tables = memory(), ...more } = {}) {
  return betterAuth({
    database: memoryAdapter(tables),
    secret: "of-this-test-alone-and-long-enough",
    baseURL: "http://localhost:3000",
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    logger: { level: "error", log: (level, message) => logged.push(message) },
    emailAndPassword: { enabled: true },
    user: {
      deleteUser: { enabled: true },
      additionalFields: {
        plan: { type: "string", required: false, defaultValue: "free" },
        note: { type: "string", required: false, defaultValue: "for nobody else", returned: false },
      },
    },
    ...more,
    plugins: [organization(), ...(more.plugins ?? []), plugin],
  });
}

export function memory() {
  return { user: [], session: [], account: [], verification: [], organization: [], member: [], invitation: [], authsyncOutbox: [] };
}

/** browser calls a server as a browser does, with its cookies. */
export function browser(server) {
  let cookie = "";
  return async (path, body) => {
    const answer = await server.handler(
      new Request(`http://localhost:3000/api/auth${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: "http://localhost:3000", cookie },
        body: JSON.stringify(body ?? {}),
      }),
    );
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    cookie = answer.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ") || cookie;
    return answer.json();
  };
}

export const ada = { email: "ada@example.com", password: "correct horse battery", name: "Ada Lovelace" };
export const eve = { email: "eve@example.com", password: "correct horse battery", name: "Eve" };
