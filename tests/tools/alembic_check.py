"""`alembic check` on a throw-away embedded server: the migrations and the tables say the same."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Upgrade an empty database and let alembic compare it with the tables."""
    alembic = Path(sys.executable).with_name("alembic")
    with tempfile.TemporaryDirectory(prefix="agd-") as home:
        environment = {**os.environ, "AGD_HOME": home, "AGD_SERVER_LINGER_S": "0"}
        environment.pop("AGD_DATABASE_URL", None)
        for command in ("upgrade", "head"), ("check",):
            code = subprocess.run([alembic, *command], env=environment, check=False).returncode
            if code:
                return code
    return 0


sys.exit(main())
