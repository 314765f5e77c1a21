import { promisify } from "node:util";
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from "node:zlib";
import kafkajs from "kafkajs";
import { repairKafkajs } from "./kafka/repair-kafkajs.ts";

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

/** Teaches kafkajs zstd by Node's own zlib (kafkajs only brings gzip), and repairs how it reads and waits. */
export function prepareKafkajs(): void {
  if (isRegistered) return;
  isRegistered = true;
  repairKafkajs();
  CompressionCodecs[CompressionTypes.ZSTD] = () => zstdCodec;
}
