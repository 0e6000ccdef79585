"""Property tests take new examples where these are asked for, also on a machine of CI."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_exploring_takes_new_examples_on_a_machine_of_ci() -> None:
    """Hypothesis takes the same ones by default where it finds a variable of a CI service."""
    code = """if True:
        import tests.conftest
        from hypothesis import settings

        print(settings.get_profile("explore").derandomize)
    """
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"CI": "1"}, check=True, capture_output=True, text=True
    )
    assert found.stdout == "False\n"
