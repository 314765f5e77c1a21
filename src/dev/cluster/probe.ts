import { once } from "node:events";
import { connect, type Socket } from "node:net";

const metadataKey = 3;
const findCoordinatorKey = 10;
const groupCoordinator = 0;
const transactionCoordinator = 1;

/**
 * True when the broker works: it lists itself in a metadata answer, and coordinators for groups and for transactions are
 * there. Asking for a coordinator makes the broker create its internal topics, so the first client need not wait for them.
 * Three requests by hand, so that nothing outside `src/runtime` needs a Kafka client.
 *
 * @param broker host:port
 * @returns false when it does not answer within `timeoutMs`, or answers that it is not ready
 */
export async function isBrokerReady(broker: string, timeoutMs: number): Promise<boolean> {
  const split = broker.lastIndexOf(":");
  const socket = connect({ host: broker.slice(0, split), port: Number(broker.slice(split + 1)) });
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error("no answer")));
  try {
    await once(socket, "connect");
    const metadata = await ask(socket, metadataKey, 6, Buffer.from([0, 0, 0, 0, 0]));
    const brokerCount = metadata.readInt32BE(4);
    if (brokerCount < 1) return false;
    for (const kind of [groupCoordinator, transactionCoordinator]) {
      const key = Buffer.from("headgate-probe");
      const answer = await ask(socket, findCoordinatorKey, 1, Buffer.concat([int16(key.length), key, Buffer.from([kind])]));
      if (answer.readInt16BE(4) !== 0) return false;
    }
    return true;
  } catch {
    // Refused, reset, silent or cut short: all of them mean "not yet", which is what this function is asked.
    return false;
  } finally {
    socket.destroy();
  }
}

/** Sends one request (header version 1) and returns the body of its response (header version 0). */
async function ask(socket: Socket, apiKey: number, apiVersion: number, body: Buffer): Promise<Buffer> {
  const clientId = Buffer.from("headgate-probe");
  const request = Buffer.concat([int16(apiKey), int16(apiVersion), int32(1), int16(clientId.length), clientId, body]);
  socket.write(Buffer.concat([int32(request.length), request]));
  let received = Buffer.alloc(0);
  while (received.length < 4 || received.length < 4 + received.readInt32BE(0)) {
    const [chunk] = (await Promise.race([once(socket, "data"), once(socket, "close").then(() => [])])) as [Buffer?];
    if (chunk === undefined) throw new Error("the broker closed the connection");
    received = Buffer.concat([received, chunk]);
  }
  return received.subarray(8);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** True when the registry answers its list of subjects. `registryUrl` is the base of the Confluent-compatible API. */
export async function isRegistryReady(registryUrl: string, timeoutMs: number): Promise<boolean> {
  try {
    const response = await fetch(`${registryUrl}/subjects`, { signal: AbortSignal.timeout(timeoutMs) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    // Not listening yet, or slow: "not yet".
    return false;
  }
}

/** Asks again and again until `isReady`, or `giveUp` says why to stop. @throws {Error} what `giveUp` returned, or the deadline */
export async function waitUntil(
  isReady: () => Promise<boolean>,
  options: { what: string; timeoutMs: number; giveUp?: () => Error | undefined },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  while (!(await isReady())) {
    const reason = options.giveUp?.();
    if (reason !== undefined) throw reason;
    if (performance.now() > deadline) throw new Error(`${options.what} did not become ready within ${options.timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
