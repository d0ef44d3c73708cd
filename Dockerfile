# For people who have a registry; `make images` makes the same without one.
#   docker build --target operator  -t registry.example.com/tracepipe/operator:0.1.0 .
#   docker build --target collector -t registry.example.com/tracepipe/collector:0.1.0 .
FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils ca-certificates gcc libc6-dev make python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The toolchain of the image as it is; rust-toolchain.toml would have clippy and rustfmt fetched too.
ENV RUSTUP_TOOLCHAIN=1.95.0
# What lies in the images is said once, in scripts/images.py.
RUN scripts/images.sh \
    && for name in collector operator; do \
        mkdir -p "/out/$name" \
        && tar -xOf "target/images/$name.tar" --wildcards '*/layer.tar' | tar -xC "/out/$name" || exit 1; \
    done

FROM scratch AS collector
COPY --from=build /out/collector/ /
LABEL org.opencontainers.image.title="tracepipe-collector" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
ENTRYPOINT ["/tracepipe-collector"]

FROM scratch AS operator
COPY --from=build /out/operator/ /
LABEL org.opencontainers.image.title="tracepipe-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
ENTRYPOINT ["/tracepipe-operator"]
