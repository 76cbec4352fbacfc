# Context: what images/stage laid out for the operator.
FROM docker.io/library/node:26-bookworm-slim
COPY . /app
WORKDIR /app
ENV NODE_ENV=production
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node", "--conditions=chaperone-dist"]
CMD ["/app/operator/dist/main.js"]
