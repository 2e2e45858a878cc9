#!/usr/bin/env bash
# Tests on several GPUs of one or more machines: tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
set -euo pipefail
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
if [[ "${NNODES:-1}" == 1 && -z "${PORT:-}" ]]; then
    MEETING=(--standalone --local_addr=127.0.0.1) # on a free port, so that two runs do not meet
else
    MEETING=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
fi
# A signal to this script is the launcher's, which passes it on; a process that died is not restarted behind one's back.
exec python -m torch.distributed.run "${MEETING[@]}" --nproc_per_node="$GPUS" --max_restarts=0 \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
