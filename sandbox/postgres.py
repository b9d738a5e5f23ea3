"""PostgreSQL on this machine: one cluster in its own folder, run with the system's packages."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from sandbox.child import Child, free_port

SCHEMA = Path(__file__).parents[1] / "sql"
_ADMIN = "postgres"


class Postgres(Child):
    """One cluster with its data in `folder`. The user that it runs as must have access to this folder.

    PostgreSQL refuses to run as root; if this process is root, the cluster runs as the user `postgres`. It accepts
    only TCP connections on 127.0.0.1 with a password.
    """

    host = "127.0.0.1"
    user = _ADMIN

    def __init__(
        self,
        folder: Path,
        log_folder: Path,
        *,
        outlive: bool = False,
        certificate: Path | None = None,
        port: int | None = None,
    ) -> None:
        """Choose its port and password without starting it.

        Args:
            folder: folder for its data.
            log_folder: folder for its log.
            outlive: whether it keeps running after this process ends.
            certificate: PEM file with its key and certificate; if given, connections need TLS.
            port: its port; None chooses one.
        """
        self._certificate = certificate
        self._primary: Postgres | None = None
        self._data = folder / "postgres"
        self.port = port or free_port()
        self.password = secrets.token_urlsafe(16)
        super().__init__(
            "PostgreSQL",
            [program("postgres"), "-D", self._data, "-p", str(self.port)],
            log_folder / "postgres.log",
            folder=Path("/"),
            user=_user(),
            outlive=outlive,
        )

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not answer.
        """
        self.start_soon()
        self.wait()

    def start_soon(self) -> None:
        """Start it without waiting."""
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # left over from a kill
        super().start()

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not answer.
        """
        self.wait_until(self._answers)

    def kill(self) -> None:
        """Kill it together with its backends, as a machine failure does. It cannot restart while a backend lives."""
        backends = self._backends()
        super().kill()
        while any(map(_alive, backends)):
            time.sleep(0.01)

    def follow(self, primary: "Postgres") -> None:
        """Delete its data. From its next start it is the standby of `primary`, with the same password."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._primary = primary
        self.password = primary.password

    def wait_for_standby(self) -> None:
        """From now on, commit nothing that its standby has not stored. Returns when the standby has all there is.

        Raises:
            sandbox.child.NotReady: no standby follows it.
        """
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            follows = "SELECT FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"
            self.wait_until(lambda: connection.execute(follows).rowcount > 0)

    def promote(self) -> None:
        """Make a standby the primary. The old one must not take writes any more."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def conninfo(self, database: str = "postgres") -> str:
        """Return libpq's connection string for the cluster's administrator."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> None:
        """Create a database as a copy of another."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    psycopg.sql.Identifier(name), psycopg.sql.Identifier(template)
                )
            )

    def create_processor(self, user: str, password: str) -> None:
        """Create a user with only the rights that the processor needs. The schema must have been applied."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE integration_service").format(
                    psycopg.sql.Identifier(user), password
                )
            )

    def apply_schema(self, database: str = "postgres") -> None:
        """Run the scripts of sql/ in order with psql, as a user would."""
        for script in sorted(SCHEMA.glob("*.sql")):
            self.psql(database, "-q", "-f", script)

    def psql(self, database: str, *arguments: str | Path) -> str:
        """Run psql as the administrator and return what it prints.

        Raises:
            subprocess.CalledProcessError: psql fails.
        """
        command: list[str | Path] = [
            program("psql"),
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.conninfo(database),
            *arguments,
        ]
        return subprocess.run(
            command,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
        ).stdout

    def _backends(self) -> list[str]:
        return Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split() if self.running else []

    def _signal_group(self, number: signal.Signals) -> None:
        backends = self._backends()
        super()._signal_group(number)
        for backend in map(int, backends):  # each has a group of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(backend, number)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.conninfo(), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        self._data.mkdir(parents=True, mode=0o700)
        if self._primary is not None:
            self._copy(self._primary)
            return
        password_file = self._data.with_suffix(".password")
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        user = _user()
        if user is not None:
            shutil.chown(self._data, user)
            shutil.chown(password_file, user)
        command: list[str | Path] = [
            program("initdb"),
            "-D",
            self._data,
            "-U",
            _ADMIN,
            f"--pwfile={password_file}",
            "-A",
            "scram-sha-256",
        ]
        subprocess.run(
            [*command, "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd="/",
        )
        password_file.unlink()
        if self._certificate is not None:
            self._require_tls(self._certificate, user)
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 100\n")
            settings.write("log_error_verbosity = terse\n")  # otherwise it logs parts of the rows that it refuses

    def _copy(self, primary: "Postgres") -> None:
        user = _user()
        if user is not None:
            shutil.chown(self._data, user)
        command: list[str | Path] = [program("pg_basebackup"), "-D", self._data, "-d", primary.conninfo(), "-R", "-N"]
        subprocess.run([*command, "-c", "fast"], check=True, user=user, cwd="/")

    def _require_tls(self, certificate: Path, user: str | None) -> None:
        own = self._data / "server.pem"  # PostgreSQL refuses a key file that other users can read
        own.touch(mode=0o600)
        own.write_text(certificate.read_text())
        if user is not None:
            shutil.chown(own, user)
        (self._data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\n")


def program(name: str) -> Path:
    """Return the path of a PostgreSQL program: from the newest Debian package, or from PATH.

    Raises:
        FileNotFoundError: it is not installed.
    """
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = versions[-1] if versions else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"PostgreSQL's {name} is not installed: apt-get install postgresql")
    return Path(found)


def _alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"  # zombies and dead processes have ended


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
