"""The real supervisor and servers; small stand-ins for the gateway and the workers."""

import json
import os
import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from core import local as stacks
from core.errors import NoDiskSpace
from core.local import SERVERS_ONLY, Plan, checks, local_stack
from core.local.command import free_port, python
from core.local.supervisor import MAX_RAPID_EXITS, Supervisor
from tests.support.stack import (
    GATEWAY,
    STUBBORN,
    entries,
    eventually,
    external,
    install_model,
    plan_of,
    processes_of,
    query,
    script,
    settings_of,
    starter,
)


def test_data_outlive_the_stack_and_a_killed_postgres(tmp_path: Path) -> None:
    deep = tmp_path / ("deep-" * 20) / ("deeper-" * 20)
    with local_stack(settings_of(deep), SERVERS_ONLY) as stack:
        query(stack, "CREATE EXTENSION vector; CREATE TABLE kept AS SELECT '[1,2,3]'::vector AS v")
        with redis.Redis.from_url(stack.broker_url) as broker:
            assert broker.ping()
            assert broker.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        first = entries(deep)["postgres"]["pid"]
        os.kill(first, signal.SIGKILL)
        eventually(lambda: entries(deep).get("postgres", {"pid": first})["pid"] != first)

        def kept() -> Any:
            with suppress(psycopg.OperationalError):
                return query(stack, "SELECT v FROM kept")

        assert eventually(kept) == "[1,2,3]"
    assert not entries(deep)
    with local_stack(settings_of(deep), SERVERS_ONLY) as stack:
        assert query(stack, "SELECT v FROM kept") == "[1,2,3]"
    assert processes_of(deep) == []


def test_postgres_starts_over_a_pid_file_whose_pid_is_in_use_again(tmp_path: Path) -> None:
    with local_stack(settings_of(tmp_path), SERVERS_ONLY):
        pass
    # the pid of a process of the server's own user is what Postgres takes for a live server
    pid_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    user = pid_file.parent.stat().st_uid
    with subprocess.Popen(("sleep", "600"), user=user if os.geteuid() == 0 else None, cwd="/") as other:
        pid_file.write_text(f"{other.pid}\n{pid_file.parent}\n1700000000\n5432\n\n127.0.0.1\n\nready\n")
        with local_stack(settings_of(tmp_path), SERVERS_ONLY) as stack:
            assert query(stack, "SELECT 1") == 1
        assert other.poll() is None
        other.kill()


def test_a_killed_service_is_restarted_without_what_it_had_started(tmp_path: Path) -> None:
    with local_stack(external(tmp_path), plan_of(script("worker-batch", STUBBORN))):
        first = psutil.Process(entries(tmp_path)["worker-batch"]["pid"])
        child = eventually(first.children)[0]
        first.kill()
        eventually(lambda: entries(tmp_path).get("worker-batch", {"pid": first.pid})["pid"] != first.pid)
        eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert processes_of(tmp_path) == []


def test_a_full_disk_ends_nothing_but_what_dies_of_it(tmp_path: Path) -> None:
    with local_stack(external(tmp_path), plan_of(script("worker-batch", STUBBORN))) as stack:
        supervisor = psutil.Process(stack.supervisor.pid)
        worker = psutil.Process(entries(tmp_path)["worker-batch"]["pid"])
        supervisor.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        worker.kill()
        eventually(lambda: [p for p in supervisor.children() if p.pid != worker.pid and p.is_running()])
        assert entries(tmp_path)["worker-batch"]["pid"] == worker.pid, "nothing could be written"
        supervisor.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        (second,) = supervisor.children()
        eventually(lambda: entries(tmp_path)["worker-batch"]["pid"] == second.pid)
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "stack.json").exists()


def test_a_service_that_keeps_dying_ends_the_stack_and_shows_its_log(tmp_path: Path) -> None:
    dying = script("dispatcher", "import time; time.sleep(0.3); raise SystemExit('no luck today')")
    with (
        pytest.raises(stacks.StackFailed, match=r"`dispatcher` died 5 times in a row(.|\n)*no luck today"),
        local_stack(external(tmp_path), plan_of(dying)) as stack,
    ):
        stack.wait()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("where", ["steps", "services"])
def test_a_process_that_fails_during_the_start_is_reported_with_its_log(tmp_path: Path, where: str) -> None:
    install_model(tmp_path)
    failing = script("migrate", "raise SystemExit('table is on fire')")
    plan = Plan(gateway=True, **{where: (failing,)})
    with (
        pytest.raises(stacks.StackFailed, match=r"`migrate`(.|\n)*table is on fire"),
        local_stack(external(tmp_path, free_port()), plan),
    ):
        pass
    assert processes_of(tmp_path) == []


def test_the_stack_is_ready_when_the_gateway_answers(tmp_path: Path) -> None:
    install_model(tmp_path)
    port = free_port()
    plan = Plan(services=(script("api", GATEWAY, str(port)),), gateway=True)
    with local_stack(external(tmp_path, port), plan) as stack:
        assert stack.url == f"http://127.0.0.1:{port}"
        entry = entries(tmp_path)["api"]
        assert Path(entry["log"]).is_file()
        environment = psutil.Process(entry["pid"]).environ()
        assert environment["MFA_DATABASE_URL"] == stack.database_url
        assert environment["MFA_DATA_DIR"] == str(tmp_path)


def test_a_used_port_is_named(tmp_path: Path) -> None:
    install_model(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(stacks.PortInUse, match=rf"^Port {port} of 127.0.0.1 is in use; .* MFA_PORT .*\.$"),
            local_stack(external(tmp_path, port), Plan(gateway=True)),
        ):
            pass


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(stacks.ModelMissing, match=r"^There is no model in .*: run `make setup`\.$"),
        local_stack(external(tmp_path), Plan(gateway=True)),
    ):
        pass


def test_an_unusable_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(stacks.DataDirNotWritable, match=r"file/data cannot be written to \(Not a directory\)"),
        local_stack(external(tmp_path / "file" / "data"), SERVERS_ONLY),
    ):
        pass


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoDiskSpace, match=r"^Only \d+ MB are free where .*, and 1000000000000 MB are needed"):
        checks.check_data_dir(tmp_path, 10**12)


def test_a_service_that_dies_for_want_of_disk_space_is_started_until_it_lives(tmp_path: Path) -> None:
    settings = external(tmp_path).model_copy(update={"min_free_mb": 10**12})
    supervisor = Supervisor(settings, SERVERS_ONLY)
    (tmp_path / "logs").mkdir()
    service = supervisor.launch(python("dies", "no_such_module"))
    for _ in range(2 * MAX_RAPID_EXITS):
        supervisor.handle_exit(service, 1)
    assert service.rapid_exits == 0
    supervisor.settings = settings.model_copy(update={"min_free_mb": 0})
    for _ in range(MAX_RAPID_EXITS - 1):
        supervisor.handle_exit(service, 1)
    with pytest.raises(stacks.StackFailed, match="died 5 times in a row"):
        supervisor.handle_exit(service, 1)


def test_a_second_stack_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        local_stack(external(tmp_path), SERVERS_ONLY),
        pytest.raises(stacks.DataDirInUse, match=r"^Another stack runs in .*; stop it or set MFA_DATA_DIR"),
        local_stack(external(tmp_path), SERVERS_ONLY),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_a_starter_that_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    plan = plan_of(script("worker-batch", STUBBORN))
    with starter(tmp_path, plan) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        eventually(lambda: len(processes_of(tmp_path)) > 5)
        process.send_signal(number)
        process.wait(60)
        if number == signal.SIGKILL:
            eventually(lambda: processes_of(tmp_path) == [])
        assert processes_of(tmp_path) == []
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.slow
def test_nothing_survives_a_start_interrupted_at_any_moment(tmp_path: Path) -> None:
    plan = plan_of(script("worker-batch", STUBBORN))
    moments_s = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.2, 1.4)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL) * 3
    for moment_s, number in zip(moments_s, numbers, strict=True):
        with starter(tmp_path, plan) as process:
            time.sleep(moment_s)
            process.send_signal(number)
            process.wait(60)
        eventually(lambda: processes_of(tmp_path) == [])
    with local_stack(settings_of(tmp_path), plan) as stack:
        assert query(stack, "SELECT 1") == 1


def test_a_killed_supervisor_is_cleaned_up_after_by_its_starter(tmp_path: Path) -> None:
    with local_stack(settings_of(tmp_path), plan_of(script("worker-batch", STUBBORN))) as stack:
        eventually(psutil.Process(entries(tmp_path)["worker-batch"]["pid"]).children)
        stack.supervisor.kill()
        with pytest.raises(stacks.StackFailed, match="supervisor of the local stack died"):
            stack.wait()
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "stack.json").exists()


def test_the_next_start_cleans_up_after_a_stack_killed_as_a_whole(tmp_path: Path) -> None:
    plan = plan_of(script("worker-batch", STUBBORN))
    with starter(tmp_path, plan) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        worker = psutil.Process(entries(tmp_path)["worker-batch"]["pid"])
        orphan = eventually(worker.children)[0]
        psutil.Process(process.pid).children()[0].suspend()  # so that it cannot react to the closed pipe
        supervisor = psutil.Process(process.pid).children()[0]
        process.kill()
        supervisor.kill()
        worker.kill()
    left = entries(tmp_path)
    assert {"postgres", "valkey"} <= left.keys()
    assert orphan.is_running()
    with local_stack(settings_of(tmp_path), plan) as stack:
        assert query(stack, "SELECT 1") == 1
        assert not {entry["pid"] for entry in left.values()} & {e["pid"] for e in entries(tmp_path).values()}
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    assert processes_of(tmp_path) == []


def test_a_stale_record_never_kills_a_later_process_of_the_same_pid(tmp_path: Path) -> None:
    with subprocess.Popen(("sleep", "600")) as innocent:
        entry = {"name": "api", "pid": innocent.pid, "log": "", "create_time": 1700000000.0}
        (tmp_path / "stack.json").write_text(json.dumps([entry]))
        with local_stack(external(tmp_path), SERVERS_ONLY):
            assert entries(tmp_path) == {}
        assert innocent.poll() is None
        innocent.kill()
