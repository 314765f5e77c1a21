import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import crypto, { createDecipheriv, createHmac, createSecretKey } from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import { HmacSha256 } from "../../../src/runtime/hmac-sha256.ts";
import { IV_BYTES, Keystream } from "../../../src/runtime/keystream.ts";

const secret = createSecretKey(Buffer.from("0123456789abcdef0123456789abcdef"));
const encrypted = (stream: Keystream, text: Uint8Array, from = 3): Buffer => {
  const bytes = Buffer.alloc(from + IV_BYTES + text.length + 2, 0xee);
  bytes.set(text, from + IV_BYTES);
  stream.encrypt(bytes, from, bytes.length - 2);
  assert.ok(bytes.subarray(0, from).every((byte) => byte === 0xee) && bytes.subarray(-2).every((byte) => byte === 0xee), "nothing around it is changed");
  return bytes.subarray(from, -2);
};
/** By Node's own cipher, from the counter that the text carries. */
const decrypted = (bytes: Uint8Array): Buffer => createDecipheriv("aes-256-ctr", secret, bytes.subarray(0, IV_BYTES)).update(bytes.subarray(IV_BYTES));

describe("a key stream", () => {
  it("encrypts as AES-256-CTR does, texts of any length one after another", () => {
    const lengths = fc.array(fc.oneof(fc.nat(300), fc.nat(70_000), fc.constantFrom(0, 1, 15, 16, 17, 65_536)), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(lengths, fc.constantFrom(2 ** 32, 5_000), (all, most) => {
        const stream = new Keystream(secret, most);
        for (const length of all) {
          const text = Buffer.alloc(length, length & 255);
          assert.deepEqual(decrypted(encrypted(stream, text)), text);
        }
      }),
      { numRuns: 30 },
    );
  });

  it("never uses a counter twice, and draws a new prefix when a stream is used up", () => {
    const stream = new Keystream(secret, 10);
    const counters = new Set<string>();
    const prefixes = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const bytes = encrypted(stream, Buffer.alloc(40));
      const last = bytes.readUInt32BE(IV_BYTES - 4);
      const prefix = bytes.toString("hex", 0, IV_BYTES - 4);
      prefixes.add(prefix);
      for (let block = 0; block < 3; block++) counters.add(`${prefix}/${last + block}`);
      assert.ok(last + 3 <= 10);
    }
    assert.deepEqual([counters.size, prefixes.size], [300, 34]);
  });

  it("stays in step with its counters when something fails in between", (t) => {
    const stream = new Keystream(secret, 5_000);
    const holds = (length: number) => {
      const text = Buffer.alloc(length, 7);
      assert.deepEqual(decrypted(encrypted(stream, text)), text);
    };
    /** One failure of Node's own, as when there is no memory. */
    const failing = (of: object, method: string, work: () => void) => {
      const { mock } = t.mock.method(of as Record<string, () => never>, method, () => {
        throw new Error("ENOMEM");
      });
      syncBuiltinESMExports();
      assert.throws(work, /ENOMEM/);
      mock.restore();
      syncBuiltinESMExports();
    };
    holds(40);
    assert.throws(() => stream.encrypt(Buffer.alloc(10), 5, 30), RangeError);
    holds(40);
    holds(65_000);
    failing(Buffer, "concat", () => holds(2_000));
    holds(40);
    holds(79_000);
    for (const method of ["createCipheriv", "randomFillSync"]) {
      failing(crypto, method, () => holds(2_000));
      holds(40);
    }
    holds(2_000);
  });

  it("has another prefix each time that one is made, in one process as in two", async () => {
    const first = () => encrypted(new Keystream(secret), Buffer.alloc(16)).toString("hex", 0, IV_BYTES);
    const script = `
      import { createSecretKey } from "node:crypto";
      import { Keystream } from ${JSON.stringify(new URL("../../../src/runtime/keystream.ts", import.meta.url).href)};
      const bytes = Buffer.alloc(${IV_BYTES + 16});
      new Keystream(createSecretKey(Buffer.from("${secret.export().toString("latin1")}"))).encrypt(bytes, 0, bytes.length);
      process.stdout.write(bytes.toString("hex", 0, ${IV_BYTES}));`;
    const elsewhere = async () => (await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script])).stdout;
    const ivs = [first(), first(), ...(await Promise.all([elsewhere(), elsewhere()]))];
    for (const iv of ivs) assert.match(iv, /^[0-9a-f]{24}00000000$/);
    assert.equal(new Set(ivs).size, 4);
  });
});

describe("HMAC-SHA256", () => {
  it("is Node's, for keys of up to 64 bytes and texts of any length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(fc.uint8Array({ maxLength: 5_000 }), { minLength: 1, maxLength: 4 }), (key, texts) => {
        const mac = new HmacSha256(key);
        for (const text of texts) assert.equal(mac.of(text), createHmac("sha256", key).update(text).digest("binary"));
      }),
    );
    assert.throws(() => new HmacSha256(new Uint8Array(65)), RangeError);
  });
});
