// Verifies a passport and masks a card with the HTTP API of `kycq serve`: kycq.mts ID CARD.jpg MASKED.jpg
//
// API_URL and API_TOKEN (scopes submit and read) name the server and the key. A job of the same ID and input is not made twice,
// so after a failure the program can be run again. It needs Node 22 (node --experimental-strip-types) or npx tsx, and no packages.
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

// An error answer (RFC 9457).
type Problem = { status: number; code: string; detail: string; errors?: { pointer: string; code: string; message: string }[] };

// call sends a request, again after 429 and 503. It throws a Problem.
async function call(path: string, init: RequestInit = {}): Promise<Response> {
  for (let left = 5; ; left--) {
    const answer = await fetch(process.env.API_URL + path, {
      ...init,
      headers: { ...init.headers, Authorization: `Bearer ${process.env.API_TOKEN}` },
      signal: AbortSignal.timeout(60_000),
    });
    if (answer.ok) return answer;
    const problem = (await answer.json()) as Problem;
    if (left === 0 || (answer.status !== 429 && answer.status !== 503)) throw problem;
    await sleep(1000 * Number(answer.headers.get("Retry-After") ?? 5));
  }
}

// finish waits until a job is final. A request waits for at most 25 seconds.
async function finish(kind: "passport" | "aadhaar", id: string): Promise<void> {
  for (;;) {
    const job: any = await (await call(`/v1/jobs/${kind}/${id}`, { headers: { Prefer: "wait=25" } })).json();
    if (job.completed_at) return console.log(`${kind} ${job.state}${job.matches ? `, name: ${job.matches.name}` : ""}`);
    await sleep(1000);
  }
}

async function passport(id: string, dob: string): Promise<void> {
  const body = JSON.stringify({ verification_id: id, file_number: "PA1079341954215", dob, name: "Specimen Person" });
  await call("/v1/passport", { method: "POST", body, headers: { "Content-Type": "application/json" } });
}

const [id, image, masked] = process.argv.slice(2);
try {
  await passport(`${id}-passport`, "2007-13-01");
} catch (e) {
  const problem = e as Problem;
  if (!problem.code) throw e;
  console.log("problem", problem.status, problem.code);
  for (const f of problem.errors ?? []) console.log(" ", f.pointer, f.code);
}
await passport(`${id}-passport`, "2007-03-01");
await finish("passport", `${id}-passport`);
const form = new FormData();
form.set("verification_id", `${id}-card`);
form.set("image", new Blob([await readFile(image)]), "card");
await call("/v1/aadhaar", { method: "POST", body: form });
await finish("aadhaar", `${id}-card`);
const bytes = new Uint8Array(await (await call(`/v1/jobs/aadhaar/${id}-card/image`)).arrayBuffer());
await writeFile(masked, bytes);
console.log(`masked image: ${bytes.length} bytes`);
