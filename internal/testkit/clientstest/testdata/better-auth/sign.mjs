// Signs the text of its input with two libraries of others, and prints the headers.
import { readFileSync } from "node:fs";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const body = readFileSync(0, "utf8");
const now = new Date();
const headers = (prefix, Library) => ({
  [`${prefix}-id`]: `msg_${prefix}`,
  [`${prefix}-timestamp`]: String(Math.floor(now / 1000)),
  [`${prefix}-signature`]: new Library(process.env.AUTHSYNC_SECRET).sign(`msg_${prefix}`, now, body),
});
process.stdout.write(JSON.stringify([headers("webhook", StandardWebhook), headers("svix", SvixWebhook)]));
