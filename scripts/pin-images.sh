#!/usr/bin/env bash
# Pins the images of deploy/Dockerfile and docker-compose.yml: it writes the digest that each tag has now behind the tag. Run it
# again to take over newer images. It needs Docker with buildx, and asks the registries.
set -euo pipefail
cd "$(dirname "$0")/.."

{
	sed -nE 's/^FROM (--platform=[^ ]+ )?([^ ]+).*/deploy\/Dockerfile \2/p' deploy/Dockerfile
	sed -nE 's/^ *image: (\$\{[A-Z_]+:-)?([^ }]+)\}?$/docker-compose.yml \2/p' docker-compose.yml | grep -v ' kycq:'
} | while read -r file image; do
	tag=${image%@*}
	digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
	[[ $digest == sha256:* ]] || {
		echo "pin-images: $tag: no digest but \"$digest\"" >&2
		exit 1
	}
	sed -i "s#$image#$tag@$digest#" "$file"
	echo "$file: $tag@$digest"
done
