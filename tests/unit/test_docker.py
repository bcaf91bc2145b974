"""What the container is built and started from agrees with the project."""

import json
import re
import tomllib
from pathlib import Path

import typer.main
from ruamel.yaml import YAML

from agd.cli.app import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = YAML(typ="safe", pure=True).load((ROOT / "docker" / "compose.yaml").read_text())
COPIED = {
    source
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    for source in sources.split()
}


def test_the_image_is_built_from_all_that_the_wheel_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed = {package.split("/")[0] for package in packages} | {"pyproject.toml", project["project"]["readme"]}
    assert needed <= COPIED
    assert all((ROOT / source).exists() for source in COPIED)


def test_what_is_copied_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert kept == COPIED


def test_the_services_are_stages_and_verbs_that_exist() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, flags=re.MULTILINE))
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    ours = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
    assert set(ours) == {"agd", "upgrade", "web", "worker"}
    for service in ours.values():
        assert service["build"]["target"] in stages
        assert service.get("command", ["--help"])[0] in verbs | {"--help"}


def test_each_service_waits_for_services_and_keeps_volumes_that_exist() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if volume[0].isalpha()}
        assert named <= set(COMPOSE["volumes"])


def test_secrets_are_files_that_a_service_is_given() -> None:
    given = {name for service in COMPOSE["services"].values() for name in service.get("secrets", [])}
    assert given == set(COMPOSE["secrets"])
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    options = COMPOSE["services"]["web"]["command"]
    assert options == json.loads(re.findall(r"^CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)[-1])
    assert options[options.index("--password-file") + 1] == "/run/secrets/web_password"


def test_no_password_is_written_down() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or value.startswith("${POSTGRES_PASSWORD:?")
