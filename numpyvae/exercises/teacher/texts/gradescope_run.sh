#!/usr/bin/env bash
# Run for each submission: grade /autograder/submission into /autograder/results/results.json.
# AUTOGRADER_ROOT and AUTOGRADER_PYTHON stand in for /autograder and its Python, to try it elsewhere.
set -u
root="${AUTOGRADER_ROOT:-/autograder}"
python="$root/venv/bin/python"
[ -x "$python" ] || python=python3
python="${AUTOGRADER_PYTHON:-$python}"
work="$(mktemp -d)"
mkdir -p "$root/results"

# $1: why. First of all, so that there are results even if nothing below comes to its end.
no_marks() {
    printf '{"score": 0, "output": "The grader did not come to its end (%s). This is not a judgement of your work: please tell your teacher.", "stdout_visibility": "hidden", "tests": []}\n' \
        "$1" > "$work/no_marks.json"
    mv "$work/no_marks.json" "$root/results/results.json"
}
no_marks "it was stopped"

cd "$root/source" || exit 1 # so that "numpyvae" is the one in this archive
export PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP
timeout --kill-after=5 540 "$python" -m numpyvae exercises grade "$root/submission" \
    --single --gradescope --out "$work/results"
code=$?
if [ -s "$work/results/results.json" ]; then
    mv "$work/results/results.json" "$root/results/results.json"
else
    no_marks "exit code $code"
fi
rm -rf "$work"
