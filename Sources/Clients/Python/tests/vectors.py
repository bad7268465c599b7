"""The protocol's test vectors, which the whole repository shares."""

import json
import pathlib
from typing import Any, Dict, List

PATH = pathlib.Path(__file__).resolve().parents[4] / "Tests/HostcallWireTests/protocol-vectors.json"
ALL: Dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
FRAMES: List[Dict[str, Any]] = ALL["frames"]
REFUSED: List[Dict[str, Any]] = ALL["refused"]
