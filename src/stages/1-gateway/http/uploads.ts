import type { IncomingMessage } from "node:http";
import type { Room } from "../call/in-flight.ts";
import { type ApiError, apiErrors } from "./api-error.ts";
import { type BodyRead, readBody } from "./read-body.ts";

export interface UploadLimits {
  /** Bodies that are read at the same time. */
  readonly max: number;
  /** Longest silence within a body, ms. */
  readonly idleMs: number;
  /** What a body that takes longer than `idleMs` must bring, on average. */
  readonly minBytesPerSecond: number;
}

/** A body that is being read. */
interface Upload {
  readonly startedAtMs: number;
  lastAtMs: number;
  bytes: number;
  breakOff: () => void;
}

/** Whoever was silent for so long may be broken off when others need its room, ms. */
const MAY_GIVE_WAY_MS = 1_000;

/**
 * The request bodies that are being read. They hold memory before anybody knows what they ask for, so that half-sent ones must not shut others out: one that
 * is silent or too slow is broken off, and when there is no room left, the one that has been silent for longest gives way to whoever sends now.
 */
export class Uploads {
  readonly #limits: UploadLimits;
  readonly #nowMs: () => number;
  readonly #running = new Set<Upload>();

  /** @param nowMs any clock that never goes back */
  constructor(limits: UploadLimits, nowMs: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  /** Bodies that are being read now. */
  get running(): number {
    return this.#running.size;
  }

  /**
   * Reads a body, at most `maxBytes` of it.
   *
   * @param room what takes its bytes; it is left when the body is broken off, and else stays as it is
   * @returns `too_many`: as many as may be are being read, and none of them gives way
   */
  async read(request: IncomingMessage, maxBytes: number, room: Room): Promise<BodyRead | { readonly kind: "too_many" }> {
    if (this.#running.size >= this.#limits.max && !this.#giveWay(() => true)) return { kind: "too_many" };
    const nowMs = this.#nowMs();
    const upload: Upload = { startedAtMs: nowMs, lastAtMs: nowMs, bytes: 0, breakOff: () => undefined };
    const onStart = (stop: (read: BodyRead) => void) => {
      upload.breakOff = () => {
        this.#running.delete(upload);
        room.leave();
        stop({ kind: "too_slow" });
      };
    };
    const take = (bytes: number): boolean => {
      upload.lastAtMs = this.#nowMs();
      upload.bytes += bytes;
      let taken = room.take(bytes);
      while (taken === "full" && this.#giveWay((other) => other !== upload && other.bytes > 0)) taken = room.take(bytes);
      return taken === "taken";
    };
    this.#running.add(upload);
    const read = await readBody(request, maxBytes, take, onStart);
    this.#running.delete(upload);
    return read;
  }

  /** Breaks off what is silent or too slow; to be called a few times a second. */
  review(): void {
    const { idleMs, minBytesPerSecond } = this.#limits;
    const nowMs = this.#nowMs();
    for (const { startedAtMs, lastAtMs, bytes, breakOff } of this.#running) {
      const tookMs = nowMs - startedAtMs;
      if (nowMs - lastAtMs > idleMs || (tookMs > idleMs && bytes * 1_000 < minBytesPerSecond * tookMs)) breakOff();
    }
  }

  /** @returns whether one was broken off */
  #giveWay(isWanted: (upload: Upload) => boolean): boolean {
    let first: Upload | null = null;
    const before = this.#nowMs() - MAY_GIVE_WAY_MS;
    for (const upload of this.#running) {
      if (upload.lastAtMs <= (first?.lastAtMs ?? before) && isWanted(upload)) first = upload;
    }
    first?.breakOff();
    return first !== null;
  }
}

/** What a caller is told whose body was not read. */
export function unreadBody(
  kind: Exclude<BodyRead["kind"], "read" | "aborted"> | "too_many",
  limits: { readonly maxBodyBytes: number; readonly maxBodyBytesInFlight: number; readonly uploads: UploadLimits },
): ApiError {
  switch (kind) {
    case "too_large":
      return apiErrors.tooLarge(limits.maxBodyBytes);
    case "too_slow":
      return apiErrors.tooSlow();
    case "no_room":
      return apiErrors.gatewayFull(limits.maxBodyBytesInFlight);
    case "too_many":
      return apiErrors.tooManyUploads(limits.uploads.max);
  }
}
