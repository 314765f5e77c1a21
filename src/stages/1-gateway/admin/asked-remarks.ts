import { statfs } from "node:fs/promises";
import { BlockList, isIP } from "node:net";
import type { Upstream } from "../call/upstream.ts";
import type { GatewayConfig } from "../config.ts";
import type { UpstreamConfig } from "../upstream-config.ts";
import { upstreamRemarks } from "./probe-upstreams.ts";
import type { Remark } from "./remarks.ts";

/**
 * What a person who asks is told beside the state of the gateway itself; it costs connections and looks at the disk, so that `/readyz` leaves it out.
 *
 * @param about `remarks`: what there is to say of how it was started
 */
export async function askedRemarks(
  upstreams: Iterable<Upstream>,
  {
    config,
    spooledBytes,
    remarks = [],
  }: { readonly config: Pick<GatewayConfig, "data" | "log">; readonly spooledBytes: number; readonly remarks?: readonly Remark[] },
): Promise<Remark[]> {
  const all = [...upstreams];
  const [ofUpstreams, ofRoom] = await Promise.all([upstreamRemarks(all, Date.now()), roomRemarks(config, spooledBytes)]);
  return [...remarks, ...ofUpstreams, ...all.flatMap(({ config: its }) => clearTextRemarks(its)), ...ofRoom];
}

/** Whether the disk has the room that the spool may take. */
async function roomRemarks({ data, log: { off, spoolMaxBytes } }: Pick<GatewayConfig, "data" | "log">, spooledBytes: number): Promise<Remark[]> {
  if (data === null || off) return [];
  const wanted = spoolMaxBytes - spooledBytes;
  // A directory that is not there, or may not be looked at, is told by `no_spool`.
  const disk = await statfs(data).catch(() => null);
  const free = disk === null ? wanted : disk.bavail * disk.bsize;
  if (free >= wanted) return [];
  return [
    {
      level: "warning",
      code: "spool_room",
      message: `the spool may take ${megabytes(wanted)} more, and the disk of the data directory has ${megabytes(free)}: in a long outage of Kafka records are lost before it is full`,
      fix: "make room there, give it a disk of its own (HEADGATE_GATEWAY_DATA), or lower log.spoolMaxBytes in the gateway's file",
    },
  ];
}

const megabytes = (bytes: number): string => `${Math.floor(bytes / 1_000_000)} MB`;

/** A key that goes through the Internet without TLS; most providers redirect such a call, which fails it. */
export function clearTextRemarks({ name, baseUrl, apiKey, passThroughKeys }: UpstreamConfig): Remark[] {
  if (baseUrl.protocol !== "http:" || (apiKey === null && !passThroughKeys) || !isPublic(baseUrl.hostname)) return [];
  return [
    {
      level: "warning",
      code: "upstream_unencrypted",
      message: `upstream ${name}: ${baseUrl.host} is called without TLS: prompts, answers and the key can be read on the way`,
      fix: "write https:// in its baseUrl; a provider that only redirects from there fails every call (502 upstream_redirected)",
    },
  ];
}

const own = new BlockList();
for (const [net, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const) {
  own.addSubnet(net, bits, "ipv4");
}
own.addAddress("::1", "ipv6");
own.addSubnet("fc00::", 7, "ipv6");
own.addSubnet("fe80::", 10, "ipv6");

/** Names that only a network of one's own resolves. */
const PRIVATE_NAME = /^[^.]+$|\.(localhost|local|internal|intranet|lan|home|corp|private|svc|test|invalid|home\.arpa|cluster\.local)$/;

function isPublic(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const family = isIP(host);
  return family === 0 ? !PRIVATE_NAME.test(host) : !own.check(host, family === 6 ? "ipv6" : "ipv4");
}
