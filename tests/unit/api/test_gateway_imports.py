"""What the gateway's process may load."""

import subprocess
import sys

FORBIDDEN = (
    "torch",
    "torchaudio",
    "librosa",
    "soundfile",
    "workers",
    "core.ml.models",
    "core.ml.inference",
    "core.ml.audio",
)


def test_the_gateway_never_loads_torch():
    """Also not through a request: the whole app is made, with its OpenAPI document."""
    script = (
        "import sys; from api.main import create_app; from core.settings import Settings\n"
        "create_app(Settings(database_url='postgresql://nowhere')).openapi()\n"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


def test_the_command_line_loads_neither_torch_nor_the_database():
    script = (
        "import sys; import api.client.cli\n"
        "print([name for name in ('torch', 'sqlalchemy', 'celery', 'fastapi') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
