#!/bin/sh
# Seed, build, let things change, build again: every table is exact at the end.
# The server is the one of libpq's variables (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE).
set -eu
cd "$(dirname "$0")"
export DBT_PROFILES_DIR=.

dbt seed                        # stands for the tables of an application
dbt build --exclude resource_type:seed
dbt run-operation go_shopping   # stands for the application
dbt build --exclude resource_type:seed
