import type { IncomingMessage } from "node:http";
import type { Room } from "../call/in-flight.ts";
import { type Member, Members } from "../call/members.ts";
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
class Upload implements Member {
  place = -1;
  readonly startedAtMs: number;
  readonly room: Room;
  lastAtMs: number;
  bytes = 0;
  stop: (read: BodyRead) => void = () => undefined;

  constructor(room: Room, nowMs: number) {
    this.room = room;
    this.startedAtMs = nowMs;
    this.lastAtMs = nowMs;
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
  readonly #running = new Members<Upload>();

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
    const upload = new Upload(room, this.#nowMs());
    this.#running.add(upload);
    const read = await readBody(
      request,
      maxBytes,
      (bytes) => this.#take(upload, bytes),
      (stop) => {
        upload.stop = stop;
      },
    );
    this.#running.delete(upload);
    return read;
  }

  #take(upload: Upload, bytes: number): boolean {
    upload.lastAtMs = this.#nowMs();
    upload.bytes += bytes;
    let taken = upload.room.take(bytes);
    while (taken === "full" && this.#giveWay((other) => other !== upload && other.bytes > 0)) taken = upload.room.take(bytes);
    return taken === "taken";
  }

  #breakOff(upload: Upload): void {
    this.#running.delete(upload);
    upload.room.leave();
    upload.stop({ kind: "too_slow" });
  }

  /** Breaks off what is silent or too slow; to be called a few times a second. */
  review(): void {
    const { idleMs, minBytesPerSecond } = this.#limits;
    const nowMs = this.#nowMs();
    for (const upload of this.#running) {
      const tookMs = nowMs - upload.startedAtMs;
      if (nowMs - upload.lastAtMs > idleMs || (tookMs > idleMs && upload.bytes * 1_000 < minBytesPerSecond * tookMs)) this.#breakOff(upload);
    }
  }

  /** @returns whether one was broken off */
  #giveWay(isWanted: (upload: Upload) => boolean): boolean {
    let first: Upload | null = null;
    const before = this.#nowMs() - MAY_GIVE_WAY_MS;
    for (const upload of this.#running) {
      if (upload.lastAtMs <= (first?.lastAtMs ?? before) && isWanted(upload)) first = upload;
    }
    if (first !== null) this.#breakOff(first);
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
