import type { IncomingMessage } from "node:http";
import type { Room } from "../call/in-flight.ts";
import { type ApiError, apiErrors } from "./api-error.ts";
import { type BodyRead, type Reading, readBody } from "./read-body.ts";

export interface UploadLimits {
  /** Bodies that are read at the same time. */
  readonly max: number;
  /** Longest silence within a body, ms. */
  readonly idleMs: number;
  /** What a body that takes longer than `idleMs` must bring, on average. */
  readonly minBytesPerSecond: number;
}

/** A body that is being read. A class, and not an object literal: V8 may take those of one place for long-lived (docs/performance.md). */
class Upload implements Reading {
  readonly startedAtMs: number;
  readonly #room: Room;
  readonly #uploads: Uploads;
  lastAtMs: number;
  bytes = 0;
  stop: Reading["stop"] = () => undefined;

  constructor(uploads: Uploads, room: Room, nowMs: number) {
    this.#uploads = uploads;
    this.#room = room;
    this.startedAtMs = nowMs;
    this.lastAtMs = nowMs;
  }

  take(bytes: number): boolean {
    this.bytes += bytes;
    return this.#uploads.take(this, this.#room, bytes);
  }

  end(): void {
    this.#uploads.forget(this);
  }

  breakOff(): void {
    this.#uploads.forget(this);
    this.#room.leave();
    this.stop({ kind: "too_slow" });
  }
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
  read(request: IncomingMessage, maxBytes: number, room: Room): Promise<BodyRead | { readonly kind: "too_many" }> {
    if (this.#running.size >= this.#limits.max && !this.#giveWay(() => true)) return Promise.resolve({ kind: "too_many" });
    const upload = new Upload(this, room, this.#nowMs());
    this.#running.add(upload);
    return readBody(request, maxBytes, upload);
  }

  /** Makes room for a piece of a body, by others that give way if need be. For the bodies themselves. */
  take(upload: Upload, room: Room, bytes: number): boolean {
    upload.lastAtMs = this.#nowMs();
    let taken = room.take(bytes);
    while (taken === "full" && this.#giveWay((other) => other !== upload && other.bytes > 0)) taken = room.take(bytes);
    return taken === "taken";
  }

  /** A body is not read any more. For the bodies themselves. */
  forget(upload: Upload): void {
    this.#running.delete(upload);
  }

  /** Breaks off what is silent or too slow; to be called a few times a second. */
  review(): void {
    const { idleMs, minBytesPerSecond } = this.#limits;
    const nowMs = this.#nowMs();
    for (const upload of this.#running) {
      const tookMs = nowMs - upload.startedAtMs;
      if (nowMs - upload.lastAtMs > idleMs || (tookMs > idleMs && upload.bytes * 1_000 < minBytesPerSecond * tookMs)) upload.breakOff();
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
