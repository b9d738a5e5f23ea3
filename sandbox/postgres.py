"""PostgreSQL on this machine: one cluster of the system's packages, in a folder of its own."""

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
    """One cluster with its data in `folder`, which the user that it runs as must be able to reach.

    PostgreSQL refuses to run as root; there it runs as the user `postgres`. Only TCP on 127.0.0.1, by password.
    """

    host = "127.0.0.1"
    user = _ADMIN

    def __init__(
        self, folder: Path, log_folder: Path, *, outlive: bool = False, certificate: Path | None = None
    ) -> None:
        """Choose its port and password; nothing is started.

        Args:
            folder: where its data lies.
            log_folder: where its log lies.
            outlive: whether it goes on when this process ends.
            certificate: PEM file with its key and certificate; with it nobody is taken without TLS.
        """
        self._certificate = certificate
        self._primary: Postgres | None = None
        self._data = folder / "postgres"
        self.port = free_port()
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
            sandbox.child.NotReady: it does not.
        """
        self.start_soon()
        self.wait()

    def start_soon(self) -> None:
        """Start it without waiting."""
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # left over where it was killed
        super().start()

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not.
        """
        self.wait_until(self._answers)

    def kill(self) -> None:
        """Kill it as a machine that fails does: with its backends, which would keep it from starting until they end."""
        backends = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split() if self.running else []
        super().kill()
        for backend in map(int, backends):
            with contextlib.suppress(ProcessLookupError):
                os.kill(backend, signal.SIGKILL)
        while any(map(_alive, backends)):
            time.sleep(0.01)

    def follow(self, primary: "Postgres") -> None:
        """Delete its data; from its next start it is the standby of `primary`, with the same password."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._primary = primary
        self.password = primary.password

    def conninfo(self, database: str = "postgres") -> str:
        """Return libpq's connection string of the cluster's administrator."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> None:
        """Make a database, as a copy of another."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    psycopg.sql.Identifier(name), psycopg.sql.Identifier(template)
                )
            )

    def create_processor(self, user: str, password: str) -> None:
        """Make a user that may do what the processor needs, and no more. The schema must have been applied."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE integration_service").format(
                    psycopg.sql.Identifier(user), password
                )
            )

    def apply_schema(self, database: str = "postgres") -> None:
        """Run the scripts of sql/ in their order, with psql as a user would."""
        for script in sorted(SCHEMA.glob("*.sql")):
            self.psql(database, "-q", "-f", script)

    def psql(self, database: str, *arguments: str | Path) -> str:
        """Run psql as the administrator and return what it prints.

        Raises:
            subprocess.CalledProcessError: it fails.
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
            settings.write("log_error_verbosity = terse\n")  # else it logs parts of the rows that it refuses

    def _copy(self, primary: "Postgres") -> None:
        user = _user()
        if user is not None:
            shutil.chown(self._data, user)
        command: list[str | Path] = [program("pg_basebackup"), "-D", self._data, "-d", primary.conninfo(), "-R", "-N"]
        subprocess.run([*command, "-c", "fast"], check=True, user=user, cwd="/")

    def _require_tls(self, certificate: Path, user: str | None) -> None:
        own = self._data / "server.pem"  # PostgreSQL takes no key that others may read
        own.touch(mode=0o600)
        own.write_text(certificate.read_text())
        if user is not None:
            shutil.chown(own, user)
        (self._data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\n")


def program(name: str) -> Path:
    """Return where PostgreSQL's program is: the newest of Debian's packages, or on the path.

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
    return state not in "ZX"  # ended, and only not taken note of


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"
