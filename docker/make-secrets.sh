#!/bin/sh
# make-secrets.sh FOLDER
# Fills the folder with fresh passwords for docker/compose.yml, once: a database keeps the one that it was made with.
set -eu
folder=$1
if [ -e "$folder/postgres_password" ]; then
  echo "$folder has its passwords already; nothing was changed."
  exit 0
fi
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
umask 022
mkdir -p "$folder"
# Containers run as users of their own and must be able to read the files; the folder lets nobody else in.
chmod 700 "$folder"
database=$(random)
broker=$(random)
printf 'postgresql://mfa:%s@postgres:5432/mfa\n' "$database" > "$folder/mfa_database_url"
printf 'redis://:%s@valkey:6379/0\n' "$broker" > "$folder/mfa_broker_url"
printf 'requirepass %s\n' "$broker" > "$folder/valkey_conf"
printf '%s\n' "$database" > "$folder/postgres_password"
echo "$folder now holds the passwords; keep them with your backups."
