"""The examples are not installed: their tests find them here."""

from __future__ import annotations

import sys
from pathlib import Path

folders = (*Path(__file__).parent.glob("*/src"), *Path(__file__).parent.glob("*/tests"))
sys.path[:0] = [str(folder) for folder in folders]
