# Completes `preon` in bash. The script is large and read at the first TAB only; with bash-completion installed, that
# package would find it by itself. Source: bash(1), "Programmable Completion": status 124 asks again.
if [ -n "${BASH_VERSION-}" ]; then
    _preon_load() {
        . /usr/share/bash-completion/completions/preon && return 124
    }
    complete -F _preon_load preon
fi
