# What tools/make_env.sh and tools/make_addons_env.sh share; sourced by both, from the root of the checkout. They set:
#   VENV, LOCK      the folder of the environment, and the locked packages that go into it
#   MADE_FROM       the files that decide what is in it; when none has changed, there is nothing to do
#   VERSIONS        the supported Pythons, newest first, as "3.13 3.12 3.11", and in words as WORDS
#   CHOSEN, CHOICE  the interpreter that the user names, and the name of that variable
#   CANDIDATES      where else to look for one, in this order; ADVICE says what to do when none is found
#   NEEDED_GB, DOWNLOAD   the room that it takes, and the size of the downloads in words
# A failure prints one line that says what to do.
STAMP=$VENV/segcourse-environment
LOG=$VENV/pip.log
created=no

fail() { echo "error: $*" >&2; exit 1; }

wanted() { pwd; cksum $MADE_FROM; }

is_ready() { [ -f $STAMP ] && [ "$(cat $STAMP)" = "$(wanted)" ] && $VENV/bin/python -c "" 2>/dev/null; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

is_supported() { local version; version=$(version_of "$1") && case " $VERSIONS " in *" $version "*) ;; *) return 1 ;; esac; }

find_python() {
    local candidate incomplete=
    for candidate in ${CHOSEN:+"$CHOSEN"} $([ -n "$CHOSEN" ] || echo $CANDIDATES); do
        is_supported "$candidate" || continue  # also passes over version-manager shims that lead nowhere
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then echo "$candidate"; return; fi
        incomplete=${incomplete:-$(version_of "$candidate")}
    done
    [ -z "$incomplete" ] || fail "Python $incomplete cannot make environments. On Debian/Ubuntu: sudo apt install python$incomplete-venv"
    [ -z "$CHOSEN" ] || fail "$CHOICE=$CHOSEN is not a working Python $WORDS."
    fail "No Python $WORDS found. $ADVICE"
}

check_disk() {
    local free_kb
    free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge $((NEEDED_GB * 1024 * 1024)) ] || fail "Only $((free_kb / 1024)) MB are free here and the environment needs $NEEDED_GB GB. Free some disk space and try again."
}

can_be_updated() {
    [ "$(head -n 1 $STAMP 2>/dev/null || pwd)" = "$(pwd)" ] && is_supported $VENV/bin/python &&
        $VENV/bin/python -m pip --version >/dev/null 2>&1 &&
        { [ -z "$CHOSEN" ] || [ "$(version_of "$CHOSEN")" = "$(version_of $VENV/bin/python)" ]; }
}

is_up_to_date() { is_ready && { [ -z "$CHOSEN" ] || can_be_updated; }; }

remove_half_made() { [ $created = no ] || { echo "Removing the half-made $VENV." >&2; rm -rf $VENV; }; }

# Runs pip, writes all it says to the log, and shows one line per package.
pip_install() {
    local line count=0 total
    total=$(grep -c == $LOCK)
    PYTHONUNBUFFERED=1 $VENV/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off "$@" 2>&1 |
        tee -a $LOG | while IFS= read -r line; do
            case $line in
                "Collecting "* | "Processing "*.whl*)
                    count=$((count + 1)) line=${line#* } line=${line%% *}
                    echo "  [$count/$total] ${line##*/}" ;;
                "Installing collected"*) echo "  unpacking (a minute or two) ..." ;;
                *"Retrying ("*) echo "  the package index does not answer, trying again ..." ;;
            esac
        done
}

explain_pip_failure() {
    if grep -qE "No space left|Errno 28" $LOG; then
        fail "The disk is full. The environment needs $NEEDED_GB GB; free some space and try again."
    elif grep -qiE "connection|name resolution|timed out|unreachable|proxy|getaddrinfo|nodename" $LOG; then
        fail "No network: pip cannot reach the package index. Check the connection (or proxy) and try again."
    elif grep -q "DO NOT MATCH THE HASHES" $LOG; then
        fail "A download differs from $LOCK. Empty pip's cache (python3 -m pip cache purge) and try again."
    fi
    fail "pip failed: $(grep -m 1 '^ERROR' $LOG || tail -n 1 $LOG)"
}

# Makes the environment, or brings it up to date, as far as the locked packages go. The caller ends with `finish`.
install_locked_packages() {
    local python
    trap remove_half_made EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if can_be_updated; then
        rm -f $STAMP
        echo "Updating the environment in $VENV ..."
    else
        python=$(find_python)
        check_disk
        echo "Making the environment in $VENV with Python $(version_of "$python") ($(command -v "$python")) ..."
        rm -rf $VENV
        created=yes
        "$python" -m venv $VENV || fail "$python -m venv failed. On Debian/Ubuntu: sudo apt install python$(version_of "$python")-venv"
    fi
    : > $LOG
    echo "Installing $(grep -c == $LOCK) locked packages ($DOWNLOAD the first time) ..."
    pip_install --require-hashes --no-deps --only-binary :all: --requirement $LOCK || explain_pip_failure
}

finish() {
    wanted > $STAMP
    created=no
    echo "The environment is ready."
}
