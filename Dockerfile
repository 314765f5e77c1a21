# One image for every role: `docker run headgate gateway`, `headgate sampler`, ... Needs Kafka and a schema registry
# (KAFKA_BROKERS, SCHEMA_REGISTRY_URL); docker-compose.yml shows all of it together.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The npm package `node` only brings Node 24 to machines with an older one; the image has it.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY topics topics
COPY src src
RUN node src/dev/build.ts && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
RUN ln -s /app/dist/src/cli/main.js /usr/local/bin/headgate
USER node
ENTRYPOINT ["headgate"]
CMD ["--help"]
