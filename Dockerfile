# `make image IMAGE=registry.example.com/revisor:0.1.0`. Both programs, the libraries of distroless/cc, and nothing else.
# The two stages have the same Debian, and so the same glibc.
FROM docker.io/library/rust:1.95-bookworm AS build
ARG PROFILE=release
WORKDIR /source
COPY . .
RUN cargo install --locked --no-track --profile "$PROFILE" --path . --root /image

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/bin/ /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["revisor"]
