import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { SealedTokens } from "../../../src/runtime/sealed-tokens.ts";

const oldKey = "the key of last year, 32 letters";
const newKey = "the key of this year, 32 letters";

describe("sealed tokens", () => {
  it("open to what was sealed; two of the same content are different, and of the same length", () => {
    const tokens = new SealedTokens([newKey]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        const [one, other] = [tokens.seal(bytes), tokens.seal(bytes)];
        const opened = tokens.open(one);
        assert.ok(opened.kind === "opened");
        assert.deepEqual([...opened.bytes], [...bytes]);
        assert.notEqual(one, other);
        assert.equal(one.length, other.length);
      }),
    );
  });

  it("show nothing of their content", () => {
    const text = "candidate gpt-b@2026-11";
    const token = new SealedTokens([newKey]).seal(Buffer.from(text));
    assert.match(token, /^[A-Za-z0-9_-]+$/);
    for (const encoding of ["utf8", "latin1"] as const) assert.ok(!Buffer.from(token, "base64url").toString(encoding).includes("candidate"));
  });

  it("are refused when any single byte is changed, cut off or added", () => {
    const tokens = new SealedTokens([newKey]);
    const sealed = Buffer.from(tokens.seal(Buffer.from("a call")), "base64url");
    for (let i = 0; i < sealed.length; i++) {
      const changed = Buffer.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 1;
      assert.equal(tokens.open(changed.toString("base64url")).kind, "refused", `byte ${i}`);
      assert.equal(tokens.open(sealed.subarray(0, i).toString("base64url")).kind, "refused", `cut to ${i}`);
    }
    assert.equal(tokens.open(Buffer.concat([sealed, Buffer.from([0])]).toString("base64url")).kind, "refused");
    for (const text of ["", "a.b.c", "AAAA", "%00", " "]) assert.deepEqual(tokens.open(text), { kind: "refused", why: "malformed" });
  });

  it("have one text only: no other last letter is taken, though it may hold bits that mean nothing", () => {
    const tokens = new SealedTokens([newKey]);
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=";
    for (const length of [0, 1, 2, 3]) {
      const token = tokens.seal(new Uint8Array(length));
      const opened = [...letters].filter((letter) => tokens.open(token.slice(0, -1) + letter).kind === "opened");
      assert.deepEqual(opened, [token.at(-1)], `${length} bytes`);
      for (const more of ["=", "==", "\n", " ", "A"]) assert.equal(tokens.open(token + more).kind, "refused");
      for (const other of [token.replaceAll("-", "+").replaceAll("_", "/"), `\n${token}`]) assert.ok(other === token || tokens.open(other).kind === "refused");
    }
  });

  it("of another format are told from what is no token at all", () => {
    const tokens = new SealedTokens([newKey]);
    const sealed = Buffer.from(tokens.seal(Buffer.from("a call")), "base64url");
    const withFormat = (format: number, length = sealed.length) => Buffer.from([format, ...sealed.subarray(1, length)]).toString("base64url");
    for (const format of [1, 3, 15]) assert.deepEqual(tokens.open(withFormat(format)), { kind: "refused", why: "unknown_layout" });
    assert.deepEqual(tokens.open(withFormat(3, 20)), { kind: "refused", why: "malformed" });
    assert.deepEqual(tokens.open(`${withFormat(3)}=`), { kind: "refused", why: "malformed" });
    for (const text of [withFormat(0), "0123456789abcdef".repeat(4), "some-name-that-somebody-took-for-the-token-of-a-call"])
      assert.deepEqual(tokens.open(text), { kind: "refused", why: "malformed" });
  });

  it("open under an old key as long as it is among the keys, and never under another one", () => {
    const old = new SealedTokens([oldKey]).seal(Buffer.from("a call"));
    assert.equal(new SealedTokens([newKey, oldKey]).open(old).kind, "opened");
    assert.deepEqual(new SealedTokens([newKey]).open(old), { kind: "refused", why: "unknown_key" });
    const rotated = new SealedTokens([newKey, oldKey]).seal(Buffer.from("a call"));
    assert.equal(new SealedTokens([newKey]).open(rotated).kind, "opened");
  });
});
