#!/bin/sh
# with-secret.sh FILE COMMAND...
# Runs the command, or refuses with EX_CONFIG while the last word of FILE is no password of 16 characters or more.
set -u
file=$1
shift
secret=$(sed 's/.* //' "$file" 2>/dev/null)
case $(printf %s "$secret" | tr '[:upper:]' '[:lower:]') in *changeme*) secret= ;; esac
if [ "${#secret}" -lt 16 ]; then
  echo "$file needs a password of 16 characters or more, not 'changeme': \`make secrets\` makes one." >&2
  exit 78
fi
exec "$@"
