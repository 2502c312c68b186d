// Receives webhooks of `kycq serve`: WEBHOOK_SECRET=whsec_... webhook.mts PORT
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";

// verify verifies a message by the Standard Webhooks specification. While a secret is rotated, it has several signatures.
function verify(secret: string, headers: IncomingHttpHeaders, body: Buffer): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const stamp = String(headers["webhook-timestamp"]);
  if (!(Math.abs(Date.now() / 1000 - Number(stamp)) < 300)) return false; // an old message, sent again by somebody else
  const mac = createHmac("sha256", key).update(`${headers["webhook-id"]}.${stamp}.`).update(body).digest("base64");
  const want = Buffer.from(`v1,${mac}`);
  return String(headers["webhook-signature"])
    .split(" ")
    .map((s) => Buffer.from(s))
    .some((s) => s.length === want.length && timingSafeEqual(s, want));
}

createServer(async (request, response) => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  const good = verify(process.env.WEBHOOK_SECRET!, request.headers, body);
  if (good) {
    const event = JSON.parse(body.toString());
    // Store the event here, before the answer. One with a webhook-id that was seen already is a repetition.
    console.log(event.type, event.data.state ?? "");
  }
  response.writeHead(good ? 204 : 400).end();
}).listen(Number(process.argv[2]), "127.0.0.1");
