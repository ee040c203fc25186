# An organisation's client. From the root of the repository:
#   docker build -f deploy/docker/client.Dockerfile -t fedlora-client .

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /src
COPY . .
RUN npm run build && mkdir /package && node client/scripts/pack.mjs /package

FROM node:20.20.2-bookworm-slim
COPY --from=build /package/ /package/
RUN npm install --global --ignore-scripts --omit=optional --no-audit --no-fund /package/*.tgz \
    && npm cache clean --force \
    && rm -r /package \
    && groupadd --gid 10001 fedlora \
    && useradd --uid 10001 --gid fedlora --home-dir /var/lib/fedlora --shell /usr/sbin/nologin fedlora \
    && install --directory --owner=fedlora --group=fedlora --mode=700 /var/lib/fedlora
ENV NODE_ENV=production FEDLORA_HOME=/var/lib/fedlora
USER 10001:10001
WORKDIR /var/lib/fedlora
VOLUME /var/lib/fedlora
STOPSIGNAL SIGTERM
# Healthy while a client runs, whatever it waits for: a coordinator that is away is no reason to restart it.
HEALTHCHECK --interval=60s --timeout=10s --start-period=60s \
    CMD fedlora status --json | grep -qv '"state":"stopped"'
ENTRYPOINT ["fedlora"]
CMD ["run"]
