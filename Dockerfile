# One image for every role: `docker run headgate gateway`, `headgate sampler`, ... Needs Kafka and a schema registry
# (KAFKA_BROKERS, SCHEMA_REGISTRY_URL); docker-compose.yml shows all of it together, docs/install.md says more.
#
# Both base images can be your own. BUILD_IMAGE needs Node 26 with npm; RUNTIME_IMAGE needs nothing but Node 26, not even a
# shell: nothing runs in the second stage.
ARG BUILD_IMAGE=node:26-slim
ARG RUNTIME_IMAGE=node:26-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The npm package `node` only brings Node 26 to machines with an older one; the image has it. A mirror of the npm registry:
# `docker build --secret id=npmrc,src=$HOME/.npmrc`, which leaves no trace in the image.
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY topics topics
COPY src src
RUN node src/dev/build.ts && npm prune --omit=dev --ignore-scripts --no-audit --no-fund
# /out is laid over the runtime image. Nobody reads TypeScript, source maps and the packages' documents there.
RUN mkdir -p /out/app /out/usr/local/bin /state \
  && mv node_modules dist package.json /out/app/ \
  && find /out/app -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' \) -delete \
  && ln -s /app/dist/src/cli/main.js /out/usr/local/bin/headgate

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="headgate" \
  org.opencontainers.image.description="Gates AI model rollouts on live evaluation signals, on your own Kafka." \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
COPY LICENSE /app/LICENSE
# The one directory that a role may want to write; a volume keeps it over restarts. The rest may be read-only.
COPY --from=build --chown=1000:1000 /state /var/lib/headgate
# In a container, an address that only the container itself reaches is of no use.
# And a gateway makes much garbage that lives no longer than its call. Left alone Node gives the young 16 MiB in a container of 1 GiB and 64 in one
# without a limit; 32 collects half as often as 16 and costs less memory than 64 (docs/install.md).
ENV NODE_ENV=production \
  NODE_OPTIONS=--max-semi-space-size=32 \
  HEADGATE_HOST=0.0.0.0 \
  HEADGATE_PORT=9464 \
  HEADGATE_GATEWAY_HOST=0.0.0.0
# By number, so that Kubernetes can see that it is not root.
USER 1000:1000
WORKDIR /var/lib/headgate
EXPOSE 7070 8080 9464
# That the process answers, not that it has work: an engine that restarts what is unhealthy must not restart everything
# because Kafka is away. Whoever asks for more asks /readyz.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["node", "-e", "require('node:http').get({port:process.env.HEADGATE_PORT,path:'/healthz',timeout:8000},(answer)=>process.exit(answer.statusCode===200?0:1)).on('timeout',()=>process.exit(1)).on('error',()=>process.exit(1))"]
ENTRYPOINT ["node", "/app/dist/src/cli/main.js"]
CMD ["--help"]
