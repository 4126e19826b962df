#!/usr/bin/env bash
# Trains a bundle on two nodes with four GPUs each:
#     sbatch docs/several_machines/slurm.sh fmabs_la /data/cohort /data/run --batch_labelled 4 --batch_unlabelled 4
# The processes share every batch out, so that batch_labelled + batch_unlabelled must be a multiple of their number, 8.
# The same command resumes a run that was stopped, also with another number of nodes.
#SBATCH --job-name=bundle
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
set -euo pipefail

bundle=${1:?name of the bundle} dataset_dir=${2:?folder of the cohort} output_dir=${3:?folder for the run, on a shared disk}
shift 3
configs="bundles/$bundle/configs"
first_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

# --kill-on-bad-exit ends the other node's processes too when one dies.
srun --kill-on-bad-exit=1 torchrun \
    --nnodes="$SLURM_NNODES" --nproc_per_node=4 \
    --rdzv_id="$SLURM_JOB_ID" --rdzv_backend=c10d --rdzv_endpoint="$first_node:29500" \
    -m monai.bundle run training --config_file "['$configs/train.json','$configs/multi_gpu_train.json']" \
    --dataset_dir "$dataset_dir" --output_dir "$output_dir" "$@"
