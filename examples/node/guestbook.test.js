import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Guestbook } from "./guestbook.js";

const { default: pg } = await import("pg").catch(() => {
  console.error("The npm package pg is not installed here. Run: npm install");
  process.exit(1);
});

const pool = new pg.Pool();
const guestbook = new Guestbook(pool);
after(() => pool.end());

test("the book opens with the host's welcome", async () => {
  assert.deepEqual(await guestbook.read(), [{ author: "host", words: "Welcome!" }]);
});

test("what one connection commits, another one reads", async () => {
  const id = await guestbook.write("Ada", "Lovely place");

  const other = new pg.Client();
  await other.connect();
  const { rows } = await other.query("SELECT words FROM entries WHERE id = $1", [id]);
  await other.end();

  assert.equal(id, 2);
  assert.equal(rows[0].words, "Lovely place");
});

test("guests who write at once get a number each", async () => {
  const ids = await Promise.all([1, 2, 3, 4].map((n) => guestbook.write(`Guest ${n}`, "Hello")));

  assert.equal(new Set(ids).size, 4);
});

test("nobody writes without a name", async () => {
  await assert.rejects(guestbook.write("", "Boo"), { code: "23514" });
});
