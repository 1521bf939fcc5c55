"""Golden values of the metrics and the made inputs that they belong to; provenance in tests/golden/metrics_*.py."""

import importlib.util
import json
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"


def golden_script(name):
    spec = importlib.util.spec_from_file_location(name, GOLDEN / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = golden_script("metrics_reference")
values = json.loads((GOLDEN / "metrics_reference.json").read_text())
FEATURE_SETS = sorted(values["features"])
