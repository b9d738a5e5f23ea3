"""PgBouncer with its default settings, in front of a PostgreSQL server."""

import contextlib
import os

from sandbox.child import Child, accepts, free_port
from tests.conftest import ended_at_last, installed
from tests.edge import ProgramMissing, find_program


def find_pgbouncer():
    return find_program("pgbouncer", "pgbouncer")


class PgBouncer(Child):
    """PgBouncer for the databases of one server and the user `processor`."""

    def __init__(self, folder, log_folder, postgres, pool_mode):
        """Write its settings into the folder, which every user must be able to read: it refuses to run as root."""
        self.port = free_port()
        users, settings = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text('"processor" "processor"\n')
        settings.write_text(
            f"[databases]\n* = host={postgres.host} port={postgres.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = md5\nauth_file = {users}\npool_mode = {pool_mode}\n"
        )
        user = "postgres" if os.geteuid() == 0 else None
        super().__init__("PgBouncer", [find_pgbouncer(), settings], log_folder / "pgbouncer.log", user=user)

    def start(self):
        """Start it and wait until it accepts connections."""
        super().start()
        self.wait_until(lambda: accepts(self.port))


@contextlib.contextmanager
def running_pooler(session_folder, tmp_path, postgres, pool_mode):
    """Run PgBouncer until the block ends. If it is missing, the test is skipped, but fails in CI."""
    installed(find_pgbouncer, ProgramMissing)
    folder = session_folder / f"{tmp_path.name}-pooler"
    folder.mkdir()
    with ended_at_last(PgBouncer(folder, tmp_path, postgres, pool_mode)) as pooler:
        pooler.start()
        yield pooler
