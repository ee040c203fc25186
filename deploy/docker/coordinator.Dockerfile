# The coordinator. From the root of the repository:
#   docker build -f deploy/docker/coordinator.Dockerfile -t fedlora-coordinator .

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /src
COPY . .
RUN npm run build

# What the program needs at runtime and nothing else, in the versions of the lock file, which names every workspace.
FROM node:20.20.2-bookworm-slim AS modules
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY protocol/package.json protocol/
COPY shared/package.json shared/
COPY client/package.json client/
COPY coordinator/package.json coordinator/
COPY coordinator/dashboard/package.json coordinator/dashboard/
COPY test/package.json test/
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
    --workspace @fedlora/protocol --workspace @fedlora/shared --workspace @fedlora/coordinator

FROM node:20.20.2-bookworm-slim
RUN groupadd --gid 10001 fedlora \
    && useradd --uid 10001 --gid fedlora --home-dir /var/lib/fedlora --shell /usr/sbin/nologin fedlora \
    && install --directory --owner=fedlora --group=fedlora --mode=700 /var/lib/fedlora
WORKDIR /app
COPY --from=modules /app/ ./
COPY --from=build /src/LICENSE ./
COPY --from=build /src/protocol/dist/ protocol/dist/
COPY --from=build /src/shared/dist/ shared/dist/
COPY --from=build /src/coordinator/bin/ coordinator/bin/
COPY --from=build /src/coordinator/dist/ coordinator/dist/
COPY --from=build /src/coordinator/dashboard/dist/ coordinator/dashboard/dist/
# It speaks HTTP: only a TLS proxy may reach the port.
ENV NODE_ENV=production FEDLORA_DATA=/var/lib/fedlora FEDLORA_HOST=0.0.0.0 FEDLORA_PORT=7400
USER 10001:10001
VOLUME /var/lib/fedlora
EXPOSE 7400
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["node", "-e", "fetch('http://127.0.0.1:7400/healthz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/coordinator/bin/fedlora-coordinator.mjs"]
