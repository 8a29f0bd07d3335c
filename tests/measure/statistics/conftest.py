import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for kinds.py, whichever test is run
