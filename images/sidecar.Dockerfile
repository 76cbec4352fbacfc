# Context: what images/stage laid out for the sidecar. One image for chaperone-init, chaperone-sidecar and chaperone-verify, so
# that a node pulls it once; injection names the program and the user of each.
FROM docker.io/library/node:26-bookworm-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nftables iproute2 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*
COPY . /app
WORKDIR /app
ENV NODE_ENV=production
USER 24601:24601
CMD ["/usr/local/bin/node", "--conditions=chaperone-dist", "/app/sidecar/dist/main.js"]
