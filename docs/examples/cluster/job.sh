#!/bin/bash
#SBATCH --job-name=s2pipe
#SBATCH --cpus-per-task=4
#SBATCH --mem=4G
#SBATCH --time=12:00:00
#
# One job of an array: its share of a step. Jobs of one array may run in any order, all at once, and again.
#
#   sbatch --array=1-16 job.sh count pipeline.yaml        (submit.sh does all steps)
#
# It needs the variables SLURM_ARRAY_TASK_ID, counted from 1, and SLURM_ARRAY_TASK_COUNT; other batch systems have others
# for the same.
set -euo pipefail

step=$1
config=$2
shard="${SLURM_ARRAY_TASK_ID:?}/${SLURM_ARRAY_TASK_COUNT:?}"
threads="${SLURM_CPUS_PER_TASK:-1}"
export NUMBA_NUM_THREADS="$threads"

case "$step" in
count) exec s2pipe preprocess "$config" --normalize.mode compute_only --num-workers "$threads" --shard "$shard" ;;
apply) exec s2pipe preprocess "$config" --num-workers "$threads" --shard "$shard" ;;
patches) exec s2pipe patches "$config" --num-workers "$threads" --shard "$shard" ;;
*)
    echo "job.sh: unknown step $step; expected count, apply or patches" >&2
    exit 2
    ;;
esac
