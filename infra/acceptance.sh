#!/usr/bin/env bash
# Acceptance of a built binary from outside: what people type, send and read. Usage: infra/acceptance.sh PATH/TO/citybrain [PART...]
set -euo pipefail
cd "$(dirname "$0")/.."
binary="${1:?usage: infra/acceptance.sh PATH/TO/citybrain [PART...]}"

# Foreign readers of the lake live in a virtual environment that survives between runs.
venv="${XDG_CACHE_HOME:-$HOME/.cache}/citybrain/venv"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import deltalake, polars, duckdb' 2>/dev/null ||
  "$venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1 ||
  echo "deltalake, polars and duckdb could not be installed: the checks with them will be skipped" >&2
"$venv/bin/python" -c 'import xmlschema' 2>/dev/null || "$venv/bin/pip" install --quiet --disable-pip-version-check xmlschema==4.3.2 ||
  echo "xmlschema could not be installed: CAP is not checked against its schema" >&2
"$venv/bin/python" -c 'import openapi_spec_validator' 2>/dev/null || "$venv/bin/pip" install --quiet --disable-pip-version-check openapi-spec-validator==0.7.2 ||
  echo "openapi-spec-validator could not be installed: the description of the doors is not checked against OpenAPI's rules" >&2
exec "$venv/bin/python" infra/acceptance.py "$binary" "${@:2}"
