# nats-server alone, for clusters without a registry; the official image elsewhere. Context: a folder with the binary.
FROM scratch
COPY nats-server /nats-server
USER 65532:65532
ENTRYPOINT ["/nats-server"]
