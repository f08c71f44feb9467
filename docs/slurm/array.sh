#!/bin/bash
# A job array, one objective to a task. objectives.txt holds one objective to a line:
#
#   sbatch --array=1-"$(wc -l <objectives.txt)" docs/slurm/array.sh objectives.txt --lr 0.05:0.5:12
#
# writes gap-1.nc, gap-2.nc, ... The same line again goes on where tasks were stopped.
#SBATCH --job-name=witten-array
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --time=00:30:00
#SBATCH --signal=USR1@120
#SBATCH --output=%x-%A-%a.log

# Here: module load ..., conda activate witten, or source .venv/bin/activate, so that `witten` is found.

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export OPENBLAS_NUM_THREADS=$OMP_NUM_THREADS NUMBA_NUM_THREADS=$OMP_NUM_THREADS

objective=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$1")
if [ -z "$objective" ]; then
    echo "line $SLURM_ARRAY_TASK_ID of $1 holds no objective" >&2
    exit 2
fi
exec srun --mpi="${WITTEN_MPI:-pmi2}" witten gap "$objective" "${@:2}" -o "gap-$SLURM_ARRAY_TASK_ID.nc" --resume
