"""The first quarter of an hour on an accelerator, see `experiments.benchmarks.accelerator.run`.

python experiments/benchmarks/accelerator.py --minutes 9 --out DIR
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])  # Not this folder: its package has the name of this file.

from experiments.benchmarks.accelerator.run import main_and_exit

main_and_exit()  # This file cannot be imported, because the package of its name is found first.
