#!/bin/bash
# One sweep over learning rates on all ranks of a job:
#
#   sbatch docs/slurm/sweep.sh double-well:dim=3 --lr 0.05:0.5:20 --groups 4 -o curve.nc
#
# Before the limit Slurm sends USR1; the learning rates in hand are finished, everything done is in curve.nc, and the job
# ends with status 4. Submit the same line again - at once, twice or ten times: jobs of one name and one user run one
# after the other, each goes on where the last one stopped, on another number of ranks too, and one that finds nothing
# left to do ends within seconds.
#SBATCH --job-name=witten
#SBATCH --dependency=singleton
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=1
#SBATCH --time=01:00:00
# Seconds before the limit; longer than one learning rate takes. Slurm may be up to a minute early.
#SBATCH --signal=USR1@300
#SBATCH --output=%x-%j.log

# Here: module load ..., conda activate witten, or source .venv/bin/activate, so that `witten` is found.

# One thread per rank, whichever library counts them.
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export OPENBLAS_NUM_THREADS=$OMP_NUM_THREADS NUMBA_NUM_THREADS=$OMP_NUM_THREADS

# pmi2 for MPICH and its relatives, pmix for Open MPI: what `srun --mpi=list` and your MPI have in common.
exec srun --mpi="${WITTEN_MPI:-pmi2}" witten gap "$@" --resume
