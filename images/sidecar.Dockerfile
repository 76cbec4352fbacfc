# Context: what images/stage laid out for the sidecar. One image for chaperone-init, chaperone-sidecar and chaperone-verify, so
# that a node pulls it once; injection names the program and the user of each.
FROM docker.io/library/node:26-bookworm-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nftables iproute2 >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*
COPY . /app
WORKDIR /app
# The trim threshold is glibc's default. Said outright, glibc does not raise it, and gives back what compiling the SQL parser took.
ENV NODE_ENV=production MALLOC_TRIM_THRESHOLD_=131072
USER 24601:24601
CMD ["/usr/local/bin/node", "--conditions=chaperone-dist", "--max-semi-space-size=1", "--liftoff-only", "/app/sidecar/dist/main.js"]
