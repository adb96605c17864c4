// Calls the server as browsers do, and knows which of its actions were called.
import { auth } from "./auth.mjs";

export const password = "correct horse battery";
const paths = new Set();
const names = new Set();

/** browser calls the server as one browser does. */
export function browser() {
  const cookies = new Map();
  return async (path, body) => {
    const answer = await auth.handler(
      new Request(`http://localhost:3000/api/auth${path}`, {
        method: body ? "POST" : "GET",
        headers: {
          "content-type": "application/json",
          origin: "http://localhost:3000",
          cookie: [...cookies].map((cookie) => cookie.join("=")).join("; "),
        },
        ...(body && { body: JSON.stringify(body) }),
      }),
    );
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    paths.add(path.split("?")[0]);
    for (const cookie of answer.headers.getSetCookie()) {
      const [name, ...value] = cookie.split(";")[0].split("=");
      cookies.set(name, value.join("="));
    }
    return answer.headers.get("content-type")?.includes("json") ? answer.json() : null;
  };
}

/** call calls an action that has no path. */
export async function call(name, body) {
  const answer = await auth.api[name]({ body });
  names.add(name);
  return answer;
}

export async function signUp(name, more) {
  const visit = browser();
  const { user } = await visit("/sign-up/email", { email: `${name.toLowerCase()}@example.com`, password, name, ...more });
  return { call: visit, id: user.id, email: user.email };
}

/** uncalled is the actions of the server that were not called. */
export function uncalled() {
  return Object.entries(auth.api)
    .filter(([name, { path }]) => !names.has(name) && !paths.has(path))
    .map(([name]) => name);
}
