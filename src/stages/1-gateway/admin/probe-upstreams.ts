import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type PeerCertificate, TLSSocket } from "node:tls";
import { buildConnector } from "undici";
import type { Upstream } from "../call/upstream.ts";
import type { Remark } from "./remarks.ts";
import { tlsProblem } from "./tls-problem.ts";

/** Longest wait for one upstream, ms: a person waits for all of them together. */
const MOST_WAIT_MS = 3_000;
/** In TLS 1.3 a server says only after the handshake that it refuses us; one that sends no tickets either is believed after so long, ms. */
const REFUSAL_WAIT_MS = 500;
/** Certificates are renewed well before, by whoever does it; ms. */
const ENDS_SOON_MS = 14 * 86_400_000;
const DAY_MS = 86_400_000;

/**
 * Says of each upstream to which no call could be made now why, and what will stop calls soon. Connections are made as those of calls are, with the same
 * certificates. All upstreams are asked at once and sent nothing: whether a key is accepted only a call tells.
 *
 * @param nowMs for certificates that end soon
 */
export async function upstreamRemarks(upstreams: Iterable<Upstream>, nowMs: number): Promise<Remark[]> {
  return (await Promise.all([...upstreams].map((upstream) => remarksOf(upstream, nowMs)))).flat();
}

async function remarksOf(upstream: Upstream, nowMs: number): Promise<Remark[]> {
  const { name, baseUrl, tls } = upstream.config;
  const found = await connected(upstream);
  if ("problem" in found) {
    const { problem } = found;
    const isTls = baseUrl.protocol === "https:" && typeof problem !== "string" && !NO_CONNECTION.test(problem.code ?? "");
    if (isTls) {
      const { what, fix } = tlsProblem(problem);
      return [{ level: "error", code: "upstream_tls", message: `upstream ${name}: ${baseUrl.host}${what}`, fix }];
    }
    const why = typeof problem === "string" ? problem : (problem.code ?? problem.message);
    return [
      {
        level: "error",
        code: "upstream_unreachable",
        message: `upstream ${name}: ${baseUrl.host} takes no connection from here (${why})`,
        fix: "check its baseUrl in the gateway's file, that it runs, and the network between",
      },
    ];
  }
  if (tls?.acceptsAnyCertificate) return [unverified(upstream)];
  return endings(upstream, found.certificate).flatMap(({ what, endsAtMs, fix }): Remark[] => {
    const leftMs = endsAtMs - nowMs;
    // One that has ended and is in the way was told by the handshake.
    if (leftMs < 0 || leftMs > ENDS_SOON_MS) return [];
    const days = Math.floor(leftMs / DAY_MS);
    const when = `${new Date(endsAtMs).toISOString().slice(0, 10)}, in ${days} day${days === 1 ? "" : "s"}`;
    return [{ level: "warning", code: "upstream_certificate_ends", message: `upstream ${name}: ${what} ends on ${when}`, fix }];
  });
}

/** How a connection fails before anything of TLS is said. */
const NO_CONNECTION =
  /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL|EACCES|EPERM|UND_ERR_CONNECT_TIMEOUT)$/;

interface Ending {
  readonly what: string;
  readonly endsAtMs: number;
  readonly fix: string;
}

/** When the certificates end that a connection rests on: those that the upstream shows, and the gateway's own. */
function endings(upstream: Upstream, certificate: PeerCertificate | null): Ending[] {
  const { host } = upstream.config.baseUrl;
  const all: Ending[] = [];
  for (const one of chainOf(certificate)) {
    const name = String(one.subject?.CN ?? one.subject?.O ?? one.serialNumber);
    all.push({ what: `the certificate of ${host} (${name})`, endsAtMs: Date.parse(one.valid_to), fix: "renew it at the upstream, or ask who runs it" });
  }
  const { cert } = upstream.connecting as { cert?: string };
  if (cert !== undefined) {
    const endsAtMs = Date.parse(new X509Certificate(cert).validTo);
    all.push({ what: "the gateway's own certificate (tls.certFile)", endsAtMs, fix: "put a renewed one in its place: the gateway reads it again by itself" });
  }
  return all;
}

/** Without the authority at its end, which the gateway was told to trust. */
function chainOf(certificate: PeerCertificate | null): PeerCertificate[] {
  const chain: PeerCertificate[] = [];
  for (let one = certificate as (PeerCertificate & { issuerCertificate?: PeerCertificate }) | null; one?.valid_to !== undefined; ) {
    const issuer = one.issuerCertificate ?? null;
    const isRoot = issuer === null || issuer.fingerprint256 === one.fingerprint256;
    if (!isRoot || chain.length === 0) chain.push(one);
    if (isRoot) break;
    one = issuer;
  }
  return chain;
}

function unverified({ config: { name, baseUrl } }: Upstream): Remark {
  return {
    level: "warning",
    code: "upstream_unverified",
    message: `upstream ${name}: the certificate of ${baseUrl.host} is not checked (tls.insecure): whoever answers there gets prompts and key`,
    fix: "take tls.insecure out, and set tls.caFile to the certificates of its authority",
  };
}

type Found = { readonly certificate: PeerCertificate | null } | { readonly problem: (Error & { code?: string }) | string };

/** Makes a connection as a call does, and ends it. */
async function connected(upstream: Upstream): Promise<Found> {
  const { baseUrl, timeouts } = upstream.config;
  const waitMs = Math.min(MOST_WAIT_MS, timeouts.connectMs);
  // An address of IPv6 stands in brackets in a URL only.
  const hostname = baseUrl.hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve) => {
    const end = (found: Found) => {
      clearTimeout(timer);
      resolve(found);
    };
    const timer = setTimeout(() => end({ problem: `no answer within ${waitMs} ms` }), waitMs);
    try {
      buildConnector(upstream.connecting)({ hostname, host: baseUrl.host, protocol: baseUrl.protocol, port: baseUrl.port }, (error, socket) => {
        if (error !== null) return end({ problem: error });
        clearTimeout(timer);
        void examined(socket).then(end);
      });
    } catch (error) {
      // The files of its certificates cannot be used.
      end({ problem: error as Error });
    }
  });
}

async function examined(socket: Socket | TLSSocket): Promise<Found> {
  if (!(socket instanceof TLSSocket)) {
    socket.destroy();
    return { certificate: null };
  }
  const certificate = socket.getPeerCertificate(true);
  const refusal = socket.getProtocol() === "TLSv1.3" ? await refusalOf(socket) : null;
  socket.destroy();
  return refusal === null ? { certificate } : { problem: refusal };
}

/** Why a server of TLS 1.3 breaks the connection off once it has seen who we are; null: it does not. */
async function refusalOf(socket: TLSSocket): Promise<(Error & { code?: string }) | null> {
  const told = new Promise<(Error & { code?: string }) | null>((resolve) => {
    socket.once("error", resolve);
    socket.once("close", () => resolve(Object.assign(new Error("closed"), { code: "closed right after it" })));
    // A ticket is sent to a client that was accepted.
    socket.once("session", () => resolve(null));
    socket.resume();
  });
  return Promise.race([told, sleep(REFUSAL_WAIT_MS, null)]);
}
