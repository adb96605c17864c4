# authsync in an image of its own binary, certificates and nothing else, run without privileges.
#
#   eval "$(scripts/version.sh)"
#   docker build --build-arg VERSION="$AUTHSYNC_VERSION" --build-arg COMMIT="$AUTHSYNC_COMMIT" \
#     --build-arg DATE="$AUTHSYNC_DATE" --tag authsync .
#
# Go compiles for other platforms by itself, so all are built on that of the builder.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
ARG TARGETOS TARGETARCH
ARG VERSION COMMIT DATE
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/authsync/authsync/internal/buildinfo.version=$VERSION -X github.com/authsync/authsync/internal/buildinfo.commit=$COMMIT -X github.com/authsync/authsync/internal/buildinfo.date=$DATE" -o /out/authsync ./cmd/authsync

# The tags of distroless name a release of Debian, not a version.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/authsync /usr/bin/authsync
COPY LICENSE /usr/share/doc/authsync/LICENSE
ENV AUTHSYNC_LISTEN=:8080
EXPOSE 8080
USER 65532:65532
ENTRYPOINT ["/usr/bin/authsync"]
CMD ["serve"]
