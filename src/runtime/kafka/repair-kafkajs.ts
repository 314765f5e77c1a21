import { createRequire } from "node:module";
import type { Socket } from "node:net";
import { pause } from "../deps.ts";
import { type FetchedPartition, markAborted } from "./aborted-records.ts";
import { sendOnce } from "./sent-once.ts";

/**
 * The position that a consumer wanted to read from is not in the log. Not to be retried: kafkajs would commit a reset for
 * the whole group (offset -2, without metadata), which destroys what the tasks have committed, and read on from the start of
 * the log as if nothing had been lost.
 */
export class PositionLostError extends Error {
  override readonly name = "PositionLostError";
  /** Read by kafkajs: gives up at once. */
  readonly retriable = false;
  /** With prefix. */
  readonly topic: string;
  readonly partition: number;

  constructor(topic: string, partition: number) {
    super(`the position in ${topic}[${partition}] is not in the log any more`);
    this.topic = topic;
    this.partition = partition;
  }
}

interface FetchAnswer {
  readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[];
}
type Fetch = (this: unknown, ...args: unknown[]) => Promise<FetchAnswer>;

/** What a connection of kafkajs has to send. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  /** Epoch ms; what the broker asked for. */
  readonly throttledUntil: number;
}

const kafkajs = createRequire(import.meta.url);
let isRepaired = false;

/** The one place where kafkajs is changed; its version is pinned, and for each change a test fails when it is no longer needed. */
export function repairKafkajs(): void {
  if (isRepaired) return;
  isRepaired = true;
  repairFetch();
  repairProduce();
  repairIdleQueues();
  repairHeartbeats();
  repairMuteConnections();
  repairBootstrap();
  repairLogins();
  repairCoordinators();
  repairMetadata();
  repairTransactions();
}

/**
 * A connection looks for requests that wait in its queue only while there can be some. By itself it sets a timer for that with a delay that lies in the past,
 * which is one of a millisecond, each time that it has looked: every connection woke its process a thousand times a second for nothing.
 */
function repairIdleQueues(): void {
  const RequestQueue = kafkajs("kafkajs/src/network/requestQueue") as { prototype: { scheduleCheckPendingRequests?: (this: RequestQueue) => void } };
  const schedule = RequestQueue.prototype.scheduleCheckPendingRequests;
  if (typeof schedule !== "function") throw new Error("kafkajs has changed inside: its queues of requests cannot be repaired");
  RequestQueue.prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
  };
}

/** A connection to a broker. */
interface Connection {
  readonly socket: Socket | null;
  isConnected(): boolean;
}

/**
 * A connection whose request got no answer in time is given up. kafkajs keeps it and asks again on it, eight times, each for the whole time; where a firewall has
 * forgotten a connection, or a host has died without a word, that goes on for minutes after new connections would be answered, and nothing is read meanwhile.
 */
function repairMuteConnections(): void {
  type Send = (this: Connection, request: unknown) => Promise<unknown>;
  const Connection = kafkajs("kafkajs/src/network/connection") as { prototype: { send?: Send } };
  const send = Connection.prototype.send;
  if (typeof send !== "function") throw new Error("kafkajs has changed inside: its connections cannot be repaired");
  Connection.prototype.send = async function (request) {
    try {
      return await send.call(this, request);
    } catch (error) {
      if (error instanceof Error && error.name === "KafkaJSRequestTimeoutError" && this.isConnected()) this.socket?.destroy(error);
      throw error;
    }
  };
}

/** What kafkajs knows of a broker. */
interface Broker {
  /** What it said it can do; null: not asked yet. */
  versions: object | null;
  readonly connectionPool: { isConnected(): boolean };
  /** And logged in, where brokers want that. */
  isConnected(): boolean;
  disconnect(): Promise<void>;
}

/**
 * A broker that closes a connection before it has said a word, or says none, counts as one that cannot be reached: another of the list is asked then. kafkajs does
 * that only where the connection is refused; behind a balancer, which takes connections for brokers that are gone, it asked the first of the list until it gave up.
 * So each new connection begins with the question what the broker can do. kafkajs asks it on the first one only: to a broker that had died since, every further
 * connection counted as made, and a consumer began with it again and again, ten times a second, until the broker was back.
 */
function repairBootstrap(): void {
  type Prototype = { connect?: (this: Broker) => Promise<void>; isConnected?: (this: Broker) => boolean };
  const { prototype } = kafkajs("kafkajs/src/broker") as { prototype: Prototype };
  const { KafkaJSConnectionError } = kafkajs("kafkajs/src/errors") as { KafkaJSConnectionError?: new (message: string, about: object) => Error };
  const { connect, isConnected } = prototype;
  if (typeof connect !== "function" || typeof isConnected !== "function" || KafkaJSConnectionError === undefined)
    throw new Error("kafkajs has changed inside: its start cannot be repaired");
  const connecting = new WeakMap<Broker, Promise<void>>();
  const begin = async (broker: Broker) => {
    // One that is there and whose login has ended is to log in again: a broker closes it at any other word.
    if (!broker.connectionPool.isConnected()) broker.versions = null;
    try {
      await connect.call(broker);
    } catch (error) {
      if (!(error instanceof Error) || !["KafkaJSConnectionClosedError", "KafkaJSRequestTimeoutError"].includes(error.name)) throw error;
      await broker.disconnect().catch(() => undefined);
      throw Object.assign(new KafkaJSConnectionError(error.message, { broker: (error as Error & { broker?: string }).broker }), { cause: error });
    } finally {
      connecting.delete(broker);
    }
  };
  prototype.connect = function () {
    const under = connecting.get(this);
    if (under !== undefined) return under;
    if (this.isConnected()) return Promise.resolve();
    const begun = begin(this);
    connecting.set(this, begun);
    return begun;
  };
  // Its socket may be open, and what it can do not be known yet: nothing can be asked of it, whoever comes meanwhile waits for the same.
  prototype.isConnected = function () {
    return !connecting.has(this) && isConnected.call(this);
  };
}

/** What a login says to a broker through. */
interface LoginConnection {
  readonly sasl: object;
  readonly host: string;
  readonly port: number;
  send(request: unknown): Promise<unknown>;
  sendAuthRequest(request: unknown): Promise<unknown>;
}

/**
 * A login that got no answer, since the broker went or hangs, is an outage, and another broker is asked. kafkajs takes whatever ends a login for refused credentials,
 * which end roles: it was enough that a broker was restarted while one logged in.
 */
function repairLogins(): void {
  type Authenticate = (this: { connection: LoginConnection }) => Promise<void>;
  const { prototype } = kafkajs("kafkajs/src/broker/saslAuthenticator") as { prototype: { authenticate?: Authenticate } };
  const authenticate = prototype.authenticate;
  if (typeof authenticate !== "function") throw new Error("kafkajs has changed inside: its logins cannot be repaired");
  prototype.authenticate = async function () {
    const { connection } = this;
    let failure: (Error & { readonly type?: string }) | undefined;
    const remember = (error: Error) => {
      failure = error;
      throw error;
    };
    const { sasl, host, port } = connection;
    this.connection = {
      ...{ sasl, host, port },
      send: (request) => connection.send(request).catch(remember),
      sendAuthRequest: (request) => connection.sendAuthRequest(request).catch(remember),
    };
    try {
      await authenticate.call(this);
    } catch (error) {
      throw failure === undefined || failure.type === "SASL_AUTHENTICATION_FAILED" ? error : failure;
    }
  };
}

/** That no broker knows a group's coordinator at the moment, since it moves or all are busy, passes. kafkajs takes it for final, and its consumer does not start again. */
function repairCoordinators(): void {
  type Find = (this: unknown, about: object) => Promise<unknown>;
  const Cluster = kafkajs("kafkajs/src/cluster") as { prototype: { findGroupCoordinatorMetadata?: Find } };
  const find = Cluster.prototype.findGroupCoordinatorMetadata;
  if (typeof find !== "function") throw new Error("kafkajs has changed inside: its search for coordinators cannot be repaired");
  Cluster.prototype.findGroupCoordinatorMetadata = async function (about) {
    try {
      return await find.call(this, about);
    } catch (error) {
      if (error instanceof Error && error.name === "KafkaJSGroupCoordinatorNotFound") Object.assign(error, { retriable: true });
      throw error;
    }
  };
}

interface NamedBroker {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}
interface TopicMetadata {
  readonly topicErrorCode: number;
  readonly partitionMetadata: readonly unknown[];
}
interface Metadata {
  readonly brokers: readonly NamedBroker[];
  readonly topicMetadata: readonly TopicMetadata[];
}
interface MetadataExchange {
  readonly request: unknown;
  readonly response: { readonly decode: unknown; readonly parse: (data: Metadata) => Promise<Metadata> };
}
type MetadataProtocol = (about: { readonly version: number }) => (about: { readonly topics: readonly string[] }) => MetadataExchange;

const brokersBeside = new WeakMap<readonly unknown[], readonly NamedBroker[]>();

/**
 * The brokers that the same answer named as a topic's partitions: kafkajs drops them, and tells brokers only with all topics of the cluster, which can be megabytes.
 *
 * @param partitions as `fetchTopicMetadata` returns them
 */
export function brokersOf(partitions: readonly unknown[]): readonly NamedBroker[] {
  const brokers = brokersBeside.get(partitions);
  if (brokers === undefined) throw new Error("kafkajs has changed inside: its answers about topics do not name the brokers");
  return brokers;
}

/**
 * One topic of the cluster that has an error, or a partition that nobody leads, is to kafkajs the answer to the question for all topics, which it asks also to learn who
 * the brokers are, and for the number of a producer. A topic of somebody else whose only replica has died then stopped all of headgate on a cluster that is shared.
 * Partitions that nobody leads stay in the answer, with leader -1. What is asked for by its name has to be sound, as before.
 */
function repairMetadata(): void {
  const metadata = kafkajs("kafkajs/src/protocol/requests/metadata") as { protocol?: MetadataProtocol };
  const protocol = metadata.protocol;
  if (typeof protocol !== "function") throw new Error("kafkajs has changed inside: its questions for all topics cannot be repaired");
  metadata.protocol = (version) => {
    const exchangeOf = protocol(version);
    return (about) => {
      const { request, response } = exchangeOf(about);
      const passOver = async (data: Metadata) => ({
        ...(await response.parse({ ...data, topicMetadata: [] })),
        topicMetadata: data.topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === 0),
      });
      const parse = async (data: Metadata) => {
        const answer = about.topics.length > 0 ? await response.parse(data) : await passOver(data);
        for (const { partitionMetadata } of answer.topicMetadata) brokersBeside.set(partitionMetadata, answer.brokers);
        return answer;
      };
      return { request, response: { ...response, parse } };
    };
  };
}

/** Before a coordinator that is busy with the transaction, or with the end of the one before, is asked again, ms; and how often. */
const busyWaitMs = 20;
const busyTries = 250;

/**
 * The partitions of several brokers are added to a transaction one request after the other, each until the coordinator has time for it. kafkajs asks for all at once,
 * and a coordinator that is busy with one refuses the others; a refusal has the whole send begin anew while those that were not refused are under way, which
 * `sendOnce` has to refuse: on several brokers every task began anew every few seconds, without anything having failed.
 */
function repairTransactions(): void {
  type Add = (this: object, about: object) => Promise<unknown>;
  const Broker = kafkajs("kafkajs/src/broker") as { prototype: { addPartitionsToTxn?: Add } };
  const add = Broker.prototype.addPartitionsToTxn;
  if (typeof add !== "function") throw new Error("kafkajs has changed inside: its transactions cannot be repaired");
  /** The last request of each coordinator; a client has one transaction at a time. */
  const last = new WeakMap<object, Promise<unknown>>();
  const addPatiently = async (broker: object, about: object) => {
    for (let tried = 1; ; tried++) {
      try {
        return await add.call(broker, about);
      } catch (error) {
        if ((error as { type?: string }).type !== "CONCURRENT_TRANSACTIONS" || tried >= busyTries) throw error;
        await pause(busyWaitMs);
      }
    }
  };
  Broker.prototype.addPartitionsToTxn = function (about) {
    const added = (last.get(this) ?? Promise.resolve()).then(() => addPatiently(this, about));
    last.set(
      this,
      added.catch(() => undefined),
    );
    return added;
  };
}

/** A member of a group, as far as it decides whether a heartbeat is due. */
interface Member {
  /** When the coordinator was asked last, by the wall clock, epoch ms. */
  lastRequest: number;
}

/**
 * A member asks for its place in the group again when its interval has passed by the wall clock. One that was set back since it asked last would keep it silent
 * until that time has come again, and the group would put it out: a clock that ran ahead and is corrected is an ordinary thing.
 */
function repairHeartbeats(): void {
  type Heartbeat = (this: Member, about: { readonly interval: number }) => Promise<void>;
  const ConsumerGroup = kafkajs("kafkajs/src/consumer/consumerGroup") as { prototype: { heartbeat?: Heartbeat } };
  const heartbeat = ConsumerGroup.prototype.heartbeat;
  if (typeof heartbeat !== "function") throw new Error("kafkajs has changed inside: its heartbeats cannot be repaired");
  ConsumerGroup.prototype.heartbeat = function (about) {
    this.lastRequest = Math.min(this.lastRequest, Date.now());
    return heartbeat.call(this, about);
  };
}

/**
 * Changes how kafkajs reads, between its network and its consumer: records of aborted transactions are left out properly
 * (see `markAborted`), and a lost position ends the consumer instead of resetting the group.
 */
function repairFetch(): void {
  const Broker = kafkajs("kafkajs/src/broker") as { prototype: { fetch?: Fetch } };
  const fetch = Broker.prototype.fetch;
  if (typeof fetch !== "function") throw new Error("kafkajs has changed inside: its reading cannot be repaired");
  Broker.prototype.fetch = async function (...args) {
    const answer = await fetch.apply(this, args).catch((error: Error & { topic?: string; partition?: number }) => {
      if (error.name !== "KafkaJSOffsetOutOfRange") throw error;
      throw new PositionLostError(error.topic ?? "", error.partition ?? -1);
    });
    for (const { partitions } of answer.responses) for (const partition of partitions) leaveOutAborted(partition);
    return answer;
  };
}

/** Nothing is sent twice where a leader moves (see `sendOnce`). */
function repairProduce(): void {
  type Produce = (this: unknown, about: { readonly topicData: Parameters<typeof sendOnce>[0] }) => Promise<unknown>;
  const Broker = kafkajs("kafkajs/src/broker") as { prototype: { produce?: Produce } };
  const produce = Broker.prototype.produce;
  if (typeof produce !== "function") throw new Error("kafkajs has changed inside: its sending cannot be repaired");
  Broker.prototype.produce = function (about) {
    return sendOnce(about.topicData, () => produce.call(this, about));
  };
}

function leaveOutAborted(partition: FetchedPartition): void {
  if (!partition.abortedTransactions?.length) return;
  markAborted(partition.messages, partition.abortedTransactions);
  partition.abortedTransactions = [];
}
