# MinIO's community edition has no images of its own since October 2025 and was archived in 2026: this builds its last
# state from source. Any other S3 server does as well (docs/operations.md).
FROM golang:1.26-bookworm AS build
RUN CGO_ENABLED=0 GOBIN=/out go install -ldflags "-s -w" github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

FROM debian:bookworm-slim
RUN useradd --system --user-group --uid 10002 --no-create-home --home-dir /data --shell /usr/sbin/nologin minio \
    && install --directory --owner minio --group minio --mode 0750 /data
COPY --from=build /out/minio /usr/local/bin/minio
USER 10002:10002
VOLUME /data
EXPOSE 9000
ENTRYPOINT ["minio"]
CMD ["server", "/data"]
