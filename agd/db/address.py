"""What libpq is told: a server and who asks, from a URL, and from the shell only what a user's own server heeds.

libpq and psycopg read variables of the environment for all that they are not told. Some cannot be outweighed by an
argument (PGSERVICE, PGDATESTYLE, PGTZ, and whatever the next libpq reads), so none is there while a connection opens.
"""

import difflib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agd.config import checked_url
from agd.errors import InputError

_CHOOSE = {
    *("service", "host", "hostaddr", "port", "dbname", "target_session_attrs", "load_balance_hosts"),
    *("user", "password", "passfile", "require_auth", "requirepeer", "channel_binding"),
}
_CHOOSE_ALSO = ("ssl", "gss", "krb")
"""Beginnings of the parameters that say how a connection is secured."""

_READ_FOR_A_SERVICE = {"PGSERVICEFILE", "PGSYSCONFDIR"}
"""They say where a service is described, and nothing where none is named."""

_SECRETS = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_INTEGERS = re.compile(r"connect_timeout|keepalives(_\w+)?|tcp_user_timeout")
_NOWHERE = "/nonexistent/agd"


@dataclass(frozen=True, slots=True)
class Address:
    """A server and who asks, with nothing left for the shell to say; `where` is a place without any secret."""

    parameters: Mapping[str, str] = field(repr=False)
    where: str

    @property
    def secrets(self) -> dict[str, str]:
        """The parameters that nobody may read among the processes."""
        return {name: value for name, value in self.parameters.items() if name in _SECRETS}

    @property
    def open_parameters(self) -> dict[str, str]:
        """All the others."""
        return {name: value for name, value in self.parameters.items() if name not in _SECRETS}

    @property
    def url(self) -> str:
        """A postgresql:// URL of it without its secrets."""
        rest = {name: value for name, value in self.open_parameters.items() if value and name not in {"user", "dbname"}}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in rest.items())
        user = f"{quote(self.parameters['user'], safe='')}@" if self.parameters.get("user") else ""
        return f"postgresql://{user}/{quote(self.parameters.get('dbname', ''), safe='')}?{query}"


class _Shell:
    """Hides variables of the environment from libpq while any thread connects, and brings them back."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._hidden: dict[str, str] = {}
        self._n_inside = 0

    def begin_anew(self) -> None:
        """In a forked child: forget the threads of the parent."""
        os.environ.update(self._hidden)
        self.__init__()  # type: ignore[misc]

    @contextmanager
    def hidden(self) -> Iterator[None]:
        with self._turn:
            if self._n_inside == 0:
                self._hidden = {name: os.environ.pop(name) for name in libpq_variables(os.environ)}
            self._n_inside += 1
        try:
            yield
        finally:
            with self._turn:
                self._n_inside -= 1
                if self._n_inside == 0:
                    os.environ.update(self._hidden)
                    self._hidden = {}
                    self._turn.notify_all()

    def read(self, service: str | None) -> dict[str, str]:
        """What libpq makes of variables, and of that service or the one they name."""
        with self._turn:
            self._turn.wait_for(lambda: self._n_inside == 0)
            before = os.environ.get("PGSERVICE")
            if service is not None:
                os.environ["PGSERVICE"] = service
            try:
                options = pq.Conninfo.get_defaults()
            finally:
                if service is not None:
                    os.environ.pop("PGSERVICE")
                    os.environ.update({} if before is None else {"PGSERVICE": before})
        found = {one.keyword.decode(): one.val.decode() for one in options if one.val not in {None, one.compiled}}
        named = service if service is not None else before
        return found | ({} if named is None else {"service": named})


_shell = _Shell()
hidden_shell = _shell.hidden
"""While it lasts, libpq sees none of its variables."""


def libpq_variables(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that PostgreSQL's clients may read, but for those that say nothing by themselves."""
    return [name for name in environment if name.startswith("PG") and name not in _READ_FOR_A_SERVICE]


def resolve(
    url: str,
    *,
    heeds_shell: bool,
    name: str = "AGD_DATABASE_URL",
    what: str = "the database",
    given: Mapping[str, str] = MappingProxyType({}),
) -> Address:
    """Read a URL, with `given` in place of its parts, and for a user's own server what the shell adds to it.

    Raises:
        InputError: libpq could not use it; `name` is what the user calls the URL, and no secret is shown.
    """
    parameters = {**_parsed(url, name), **given}
    parameters = {key: value for key, value in parameters.items() if value or key not in {"host", "hostaddr", "port"}}
    sources = dict.fromkeys(parameters, name)
    if heeds_shell:
        added = _shell.read(parameters.get("service"))
        if "host" in parameters:
            added.pop("hostaddr", None)  # of some other host
        added = {key: value for key, value in added.items() if _chooses(key) and key not in parameters}
        variables = {one.keyword.decode(): (one.envvar or b"").decode() for one in pq.Conninfo.get_defaults()}
        sources |= {key: f"{variables[key] or key} of the environment" for key in added}
        parameters |= added
    _require_usable(parameters, sources, name)
    parameters.pop("service", None)  # what it says is among the others
    return Address(MappingProxyType(parameters), _where(what, parameters))


def _chooses(keyword: str) -> bool:
    return keyword in _CHOOSE or keyword.startswith(_CHOOSE_ALSO)


def _parsed(url: str, name: str) -> dict[str, str]:
    """The parameters of a URL."""
    try:
        url = checked_url(url)
    except ValueError as error:
        raise InputError(f"{name} cannot be used: {error}") from None
    known = [one.keyword.decode() for one in pq.Conninfo.get_defaults()]
    authority, _, query = url.partition("?")
    for key in (part.partition("=")[0] for part in query.split("&") if part):
        if key in known or key == "ssl":
            continue
        may_be_secret = "@" in query and "@" not in authority  # of a password with a ? in it
        close = difflib.get_close_matches(key, known, n=1)
        hint = f": did you mean {close[0]}?" if close and not may_be_secret else "; take it out"
        shown = "what follows the ? is" if may_be_secret else f"{key} is"
        raise InputError(f"{name} cannot be used: {shown} no parameter of a connection{hint}")
    try:
        found = conninfo_to_dict(f"postgresql://{url.partition('://')[2]}")
    except psycopg.ProgrammingError:  # its words repeat the URL
        raise InputError(f"{name} cannot be used: it must read postgresql://user@host:port/database") from None
    return {key: str(value) for key, value in found.items() if value is not None}


def _require_usable(parameters: Mapping[str, str], sources: Mapping[str, str], name: str) -> None:
    """Let libpq judge every value at a place where no server is."""
    for key, value in parameters.items():
        if _INTEGERS.fullmatch(key) and not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", value):
            raise InputError(f"{sources[key]} cannot be used: {key} is {value!r}, which is no whole number")
    n_hosts = max(parameters.get(key, "").count(",") + 1 for key in ("host", "hostaddr"))
    trial = {**parameters, "host": ",".join([_NOWHERE] * n_hosts), "hostaddr": "", "password": "-"}
    with hidden_shell():
        said = pq.PGconn.connect_start(make_conninfo("", **trial).encode()).error_message.decode(errors="replace")
    if _NOWHERE in said:
        return
    reason = said.strip().partition("\n")[0]
    about = re.search(r"invalid (\w+) value|connection option \"(\w+)\"", reason)
    key = next(filter(None, about.groups()), "") if about else ""
    if "service" in reason:
        key = "service"
    elif "port" in reason:
        key = "port"
    if any(value and value in reason for secret, value in parameters.items() if secret in _SECRETS):
        reason = "libpq does not take it"
    raise InputError(f"{sources.get(key, name)} cannot be used: {reason}")


def _where(what: str, parameters: Mapping[str, str]) -> str:
    host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
    port = parameters.get("port", "5432")
    hosts, ports = host.split(","), port.split(",")
    if len(ports) < len(hosts):
        ports *= len(hosts)
    places = [
        one if one.startswith("/") else f"{one}:{number or 5432}" for one, number in zip(hosts, ports, strict=False)
    ]
    return f"{what} at {','.join(places)}/{parameters.get('dbname') or ''}"


os.register_at_fork(after_in_child=_shell.begin_anew)
