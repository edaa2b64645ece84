#!/bin/sh
# Puts each bug that others shipped back into a copy of the tree, one at a time, and shows
# that its test fails. Each patch in mutants/ has the name of the test that it breaks; each
# in mutants/attacks/ takes a defence away, or only a part of it (NAME.PART.patch), has the name
# of the scenario that is about it, and tells in its first line which figure then is not as
# that expects.
#
# mutants.sh [NAME...]    only these (attacks/NAME for a scenario); all without any
#
# Exit 0: every bug was found. The copy is built in target/mutants; the tree stays as it is.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
patches=$root/engine/sim/mutants
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR="$root/target/mutants"

(cd "$root" && git ls-files -z --cached --others --exclude-standard \
    | xargs -0 tar cf - --ignore-failed-read) | tar xf - -C "$copy"
cd "$copy"
# What was built from an earlier copy may be newer than these files, and have a bug in it.
find . -name '*.rs' -exec touch {} +

run() {
    case $1 in
    attacks/*)
        scenario=${1#attacks/}
        KDHT_SCENARIO=${scenario%%.*} cargo test -q -p kdht-sim --test scenarios -- \
            --exact every_scenario_has_a_small_version_that_passes >"$copy/log" 2>&1
        ;;
    *)
        cargo test -q -p kdht-core --lib --test node -- "$1" >"$copy/log" 2>&1
        ;;
    esac
}

# Whether the one test failed, of a scenario for the figure that the patch is about.
is_found() {
    grep -q '^test result: FAILED. 0 passed; 1 failed' "$copy/log" || return 1
    case $1 in
    attacks/*)
        figure=$(sed -n '1s/^figure: //p' "$patches/$1.patch")
        grep -o "\"$figure is [^\"]*" "$copy/log" | tr -d '"' | head -n 1 | grep .
        ;;
    esac
}

if [ $# -eq 0 ]; then
    set -- $(cd "$patches" && ls ./*.patch ./attacks/*.patch | sed 's|^\./||; s|\.patch$||')
fi
survivors=0
for name in "$@"; do
    if ! run "$name" || ! grep -q '^test result: ok. 1 passed' "$copy/log"; then
        echo "$name: fails, or does not exist, without its bug"
        tail -n 20 "$copy/log"
        exit 1
    fi
done
for name in "$@"; do
    if ! patch -p1 -s --no-backup-if-mismatch <"$patches/$name.patch"; then
        echo "$name: the patch does not apply any more"
        exit 1
    fi
    if run "$name"; then
        echo "$name: SURVIVED"
        survivors=$((survivors + 1))
    elif is_found "$name"; then
        echo "$name: found"
    else
        echo "$name: the bug does not compile, or breaks something else"
        tail -n 20 "$copy/log"
        survivors=$((survivors + 1))
    fi
    patch -R -p1 -s --no-backup-if-mismatch <"$patches/$name.patch"
done
[ "$survivors" -eq 0 ]
