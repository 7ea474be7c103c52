#!/bin/bash
# All steps as SLURM jobs, each after the one before:
#
#   submit.sh pipeline.yaml out 16        configuration, out_dir of preprocess, number of shares
#
# A step that fails leaves those after it waiting for ever; cancel them, mend what is wrong and submit again: whatever is
# finished is found and kept.
set -euo pipefail

config=$1
out=$2
shards=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

after() { # prints the id of the job that it submits
    local job=$1
    shift
    sbatch --parsable ${job:+--dependency="afterok:$job"} "$@"
}

counted=$(after "" --array="1-$shards" "$here/job.sh" count "$config")
merged=$(after "$counted" --wrap "s2pipe stats merge '$out' --out '$out/stats.json'")
applied=$(after "$merged" --array="1-$shards" "$here/job.sh" apply "$config")
written=$(after "$applied" --array="1-$shards" "$here/job.sh" patches "$config")
after "$written" --wrap "s2pipe patches '$config'" # publishes the shards that the array has written
