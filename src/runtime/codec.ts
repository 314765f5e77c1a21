import { promisify } from "node:util";
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from "node:zlib";
import kafkajs from "kafkajs";
import { repairFetch } from "./kafka/repair-kafkajs.ts";

// Node finds only some of kafkajs's names in a named import.
const { CompressionCodecs, CompressionTypes } = kafkajs;
const compressLater = promisify(zstdCompress);
const decompressLater = promisify(zstdDecompress);
/** Up to this a call on the spot, at most a fifth of a millisecond, costs less than a trip to the thread pool and back. */
const inlineBytes = 256 * 1024;
/** Level 1 takes half the time of the usual 3; records of one topic are so alike that it finds nearly as much. */
const fast = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** What kafkajs asks of a codec: it hands its encoder to `compress` and expects bytes. */
export const zstdCodec = {
  async compress(encoder: { readonly buffer: Buffer }): Promise<Buffer> {
    return encoder.buffer.length <= inlineBytes ? zstdCompressSync(encoder.buffer, fast) : compressLater(encoder.buffer, fast);
  },
  async decompress(bytes: Buffer): Promise<Buffer> {
    return bytes.length <= inlineBytes / 32 ? zstdDecompressSync(bytes) : decompressLater(bytes);
  },
};

let isRegistered = false;

/**
 * Teaches kafkajs zstd by Node's own zlib (kafkajs only brings gzip), repairs how it reads, and silences exactly one process warning: kafkajs
 * 2.2.4 sets a timer with a negative delay on Node >= 20, which becomes 1 ms and harms nothing.
 */
export function prepareKafkajs(): void {
  if (isRegistered) return;
  isRegistered = true;
  repairFetch();
  CompressionCodecs[CompressionTypes.ZSTD] = () => zstdCodec;
  const emitWarning = process.emitWarning.bind(process) as (warning: string | Error, ...rest: unknown[]) => void;
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    const first = rest[0];
    const name = typeof first === "string" ? first : (first as { type?: string } | undefined)?.type;
    if (name === "TimeoutNegativeWarning" || (warning instanceof Error && warning.name === "TimeoutNegativeWarning")) return;
    emitWarning(warning, ...rest);
  };
}
