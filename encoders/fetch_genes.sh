#!/bin/sh
# Fetch what the shipped encoder was made from, the marker genes of Debian's package metaphlan2-data (Expat licence).
# It writes artifacts/genes/markers.fasta and no other file: a FASTA of your own is left alone, and so is one already there.
set -eu

version=2.6.0+ds-4
sum=99ac3e48aff2ebc28ede4d4ab669767d24bad0a5549f5a3615e4972b3960f730
ours=artifacts/genes/markers.fasta
wanted=${1:-$ours}

if [ "$wanted" != "$ours" ] || [ -e "$ours" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "fetch_genes.sh: apt-get and dpkg-deb are missing. On another system than Debian, take the package from" \
        "https://packages.debian.org/metaphlan2-data and put its markers.fasta into artifacts/genes;" \
        "or set pretrain.fasta to a FASTA file of yours." >&2
    exit 1
fi

folder=$(dirname "$ours")
mkdir -p "$folder"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && apt-get -qq download "metaphlan2-data=$version" 2>apt.log); then
    cat "$work/apt.log" >&2
    echo "fetch_genes.sh: apt has no metaphlan2-data $version. Run apt-get update first." >&2
    exit 1
fi
dpkg-deb -x "$work"/metaphlan2-data_*.deb "$work"
found=$work/var/lib/metaphlan2-data/markers.fasta
echo "$sum  $found" | sha256sum --check --quiet - || {
    echo "fetch_genes.sh: markers.fasta is not the one that was meant (SHA-256 $sum)." >&2
    exit 1
}
mv "$found" "$ours"
