import { connect, type Socket } from "node:net";

const HEAD_END = Buffer.from("\r\n\r\n");
const LAST_CHUNK = "0\r\n\r\n";

/** How one exchange went. Times are of `performance.now`. */
export interface Reply {
  readonly status: number;
  readonly sentAt: number;
  /** First byte of the body. */
  readonly firstAt: number;
  readonly doneAt: number;
}

/**
 * A kept-alive HTTP/1.1 connection on a bare socket, for one request at a time. It reads of an answer only what it must: status, length,
 * where the body begins and ends. A load generator shares its core with the upstream, so it must cost less than what it measures.
 */
export class Connection {
  readonly #port: number;
  #socket: Socket | null = null;
  #pending: Buffer | null = null;
  #status = 0;
  /** Bytes of the body that are missing; -1 while the head is; -2 for a chunked body. */
  #missing = -1;
  #tail = "";
  #mustClose = false;
  #sentAt = 0;
  #firstAt = 0;
  #onReply: ((reply: Reply | null) => void) | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  /** Sends a request; `onReply` gets null when the connection broke before the answer was whole. */
  send(request: Buffer, onReply: (reply: Reply | null) => void): void {
    this.#onReply = onReply;
    this.#missing = -1;
    this.#pending = null;
    this.#firstAt = 0;
    this.#socket ??= this.#open();
    this.#sentAt = performance.now();
    this.#socket.write(request);
  }

  close(): void {
    this.#onReply = null;
    this.#socket?.destroy();
    this.#socket = null;
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    const lost = () => {
      if (this.#socket !== socket) return;
      this.#socket = null;
      this.#finish(null);
    };
    socket.on("data", (chunk) => this.#take(chunk));
    socket.on("error", lost);
    socket.on("close", lost);
    return socket;
  }

  #take(chunk: Buffer): void {
    let body = chunk;
    if (this.#missing === -1) {
      const all = this.#pending === null ? chunk : Buffer.concat([this.#pending, chunk]);
      const end = all.indexOf(HEAD_END);
      if (end < 0) {
        this.#pending = all;
        return;
      }
      this.#readHead(all.toString("latin1", 0, end + 2).toLowerCase());
      body = all.subarray(end + 4);
    }
    if (body.length > 0 && this.#firstAt === 0) this.#firstAt = performance.now();
    if (this.#missing === -2) {
      this.#tail =
        body.length >= LAST_CHUNK.length
          ? body.toString("latin1", body.length - LAST_CHUNK.length)
          : (this.#tail + body.toString("latin1")).slice(-LAST_CHUNK.length);
      if (this.#tail === LAST_CHUNK) this.#complete();
      return;
    }
    this.#missing -= body.length;
    if (this.#missing <= 0) this.#complete();
  }

  #readHead(head: string): void {
    this.#status = Number(head.slice(9, 12));
    this.#mustClose = head.includes("\r\nconnection: close");
    this.#tail = "";
    const at = head.indexOf("\r\ncontent-length:");
    this.#missing = at < 0 ? -2 : Number.parseInt(head.slice(at + 17, at + 40), 10);
  }

  #complete(): void {
    const doneAt = performance.now();
    if (this.#mustClose) {
      const socket = this.#socket;
      this.#socket = null;
      socket?.destroy();
    }
    this.#finish({ status: this.#status, sentAt: this.#sentAt, firstAt: this.#firstAt || doneAt, doneAt });
  }

  #finish(reply: Reply | null): void {
    const onReply = this.#onReply;
    this.#onReply = null;
    onReply?.(reply);
  }
}
