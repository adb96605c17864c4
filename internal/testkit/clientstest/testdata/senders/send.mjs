// Sends each of the messages in its input, signed by a library that is not authsync's, as the provider does, and then with another
// body under the same signature. Prints the answers.
import { readFileSync } from "node:fs";
import { WorkOS } from "@workos-inc/node";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const workos = new WorkOS("sk_test_only");
const now = new Date();
const triple = (prefix, Library) => ({ id, secret, body }) => ({
  [`${prefix}-id`]: id,
  [`${prefix}-timestamp`]: String(Math.floor(now / 1000)),
  [`${prefix}-signature`]: new Library(secret).sign(id, now, body),
});
const libraries = {
  svix: triple("svix", SvixWebhook),
  standardwebhooks: triple("webhook", StandardWebhook),
  // The SDK signs what JSON.stringify makes of an object: the body is that.
  workos: async ({ secret, body }) => ({
    "workos-signature": `t=${+now}, v1=${await workos.webhooks.computeSignature(+now, JSON.parse(body), secret)}`,
  }),
};

const answers = [];
for (const message of JSON.parse(readFileSync(0, "utf8"))) {
  message.body = JSON.stringify(JSON.parse(message.body));
  const headers = { "content-type": "application/json", ...(await libraries[message.library](message)) };
  const post = async (body) => (await fetch(message.url, { method: "POST", headers, body })).status;
  answers.push({ tampered: await post(message.body + " "), sent: await post(message.body) });
}
process.stdout.write(JSON.stringify(answers));
