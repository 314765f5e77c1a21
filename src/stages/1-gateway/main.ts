import { randomBytes } from "node:crypto";
import { connectionConfiguration } from "../../config/connection.ts";
import { parseConfig } from "../../config/parse-config.ts";
import type { Program } from "../../runtime/program.ts";
import { SealedTokens } from "../../runtime/sealed-tokens.ts";
import { adminConfigOf } from "./admin/admin-config.ts";
import { keyRemarks } from "./admin/key-remarks.ts";
import { leadCrew } from "./admin/lead-crew.ts";
import { startAdmin } from "./admin/start-admin.ts";
import { leadConversations } from "./call/share-conversations.ts";
import { configuration, readGatewayFile } from "./config.ts";
import { AFTER_DRAIN_MS, startGateway } from "./gateway.ts";

/** The gateway: an OpenAI-compatible proxy that obeys `routing` and logs each call to `requests`. */
export const program: Program = {
  name: "gateway",
  configuration,
  servesWithoutKafka: true,
  stopMs(given) {
    const { HEADGATE_GATEWAY_LAME_DUCK_MS: lameDuckMs, HEADGATE_GATEWAY_DRAIN_MS: drainMs } = parseConfig("gateway", configuration, given);
    return lameDuckMs + drainMs + AFTER_DRAIN_MS;
  },
  async lead({ env: given, log, crew }) {
    const env = parseConfig("gateway", configuration, given);
    const file = readGatewayFile(env.HEADGATE_GATEWAY_CONFIG, given);
    leadConversations(crew, file.conversations);
    // Workers are given one that was drawn here.
    const remarks = keyRemarks(env.HEADGATE_SUBJECT_KEY);
    for (const { message, fix } of remarks) log.warn({ fix }, message);
    const config = adminConfigOf(env, file.admin, given);
    if (config === null) return () => undefined;
    const name = `gateway-${randomBytes(6).toString("hex")}`;
    const admin = await startAdmin(config, leadCrew(crew, { name, log, remarks }), log.child({ instance: name }));
    return () => admin.close();
  },
  async start(context) {
    const env = parseConfig("gateway", configuration, context.env);
    const file = readGatewayFile(env.HEADGATE_GATEWAY_CONFIG, context.env);
    const config = { ...file, data: env.HEADGATE_GATEWAY_DATA ?? file.data };
    const remarks = keyRemarks(env.HEADGATE_SUBJECT_KEY);
    for (const { message, fix } of remarks) context.log.warn({ fix }, message);
    if (env.HEADGATE_TOKEN_KEY === undefined) {
      context.log.warn("HEADGATE_TOKEN_KEY is not set: answers carry no outcome token, so that nobody can tell later what became of a call");
    }
    const gateway = await startGateway({
      config,
      admin: adminConfigOf(env, file.admin, context.env),
      subjectKey: env.HEADGATE_SUBJECT_KEY ?? randomBytes(32).toString("hex"),
      remarks,
      tokens: env.HEADGATE_TOKEN_KEY === undefined ? null : new SealedTokens(env.HEADGATE_TOKEN_KEY),
      instance: context.instance,
      prefix: parseConfig("gateway", connectionConfiguration.pick({ HEADGATE_PREFIX: true }), context.env).HEADGATE_PREFIX,
      file: { path: env.HEADGATE_GATEWAY_CONFIG, env: context.env },
      host: env.HEADGATE_GATEWAY_HOST,
      port: env.HEADGATE_GATEWAY_PORT,
      drain: { lameDuckMs: env.HEADGATE_GATEWAY_LAME_DUCK_MS, finishMs: env.HEADGATE_GATEWAY_DRAIN_MS },
      log: context.log,
      metrics: context.metrics,
      connect: () => context.connect({ isPatient: false }),
      first: context.first ?? null,
    });
    context.readiness("routing", () => gateway.isReady());
    let end: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      end = resolve;
    });
    return {
      finished,
      async stop() {
        await gateway.stop();
        end();
      },
    };
  },
};
