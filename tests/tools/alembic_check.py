"""`alembic check` on a throw-away embedded server: the migrations and the tables say the same."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agd.db.embedded import EmbeddedServer


def main() -> int:
    """Upgrade an empty database and let alembic compare it with the tables."""
    alembic = Path(sys.executable).with_name("alembic")
    with tempfile.TemporaryDirectory(prefix="agd-") as home:
        server = EmbeddedServer(Path(home), linger_s=0)
        environment = {**os.environ, "AGD_HOME": home, "AGD_DATABASE_URL": server.acquire()}
        cluster = server.status().data_directory.parent
        try:
            commands = (("upgrade", "head"), ("check",))
            codes = (
                subprocess.run([alembic, *command], env=environment, check=False).returncode for command in commands
            )
            return next((code for code in codes if code), 0)
        finally:
            server.release()
            server.stop()
            shutil.rmtree(cluster, ignore_errors=True)  # as root it may lie outside the temporary folder


sys.exit(main())
