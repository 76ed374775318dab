#!/usr/bin/env bash
# How a rollout scales over processes on this machine: 1 and 2 ranks of one thread, and 2 threads, in turn; medians of 5.
# Needs Open MPI and a quiet machine. Usage: cargo build --release --features mpi && benches/ranks.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
program=${1:-target/release/hjbridge}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

run() { # ranks threads steps
    mpirun --oversubscribe --bind-to none -n "$1" "$program" rollout data/problems/mixture_1d.json --paths 1966080 \
        --steps "$3" --nodes 801 --threads "$2" --quiet --out "$out/run" >/dev/null
    sed -n '/"simulation"/,/}/s/.*"seconds": *\([0-9.e-]*\).*/\1/p' "$out/run/report.json" >>"$out/$1-$2-$3"
}
median() { sort -g "$out/$1" | sed -n 3p; }

for _ in 1 2 3 4 5; do
    run 1 1 100
    run 2 1 100
    run 1 2 100
    run 1 1 20
done
awk -v one="$(median 1-1-100)" -v ranks="$(median 2-1-100)" -v threads="$(median 1-2-100)" -v short="$(median 1-1-20)" 'BEGIN {
    step = (one - short) / 80
    printf "60 waves of 32768 paths, 100 steps: 1 rank %.2f s, 2 ranks %.2f s (%.2f times), 2 threads %.2f s (%.2f times)\n",
        one, ranks, one / ranks, threads, one / threads
    printf "a wave on one thread: %.1f ms + %.3f ms for each step\n", (one - 100 * step) / 60 * 1e3, step / 60 * 1e3
}'
