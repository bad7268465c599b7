"""Tests of the Python client: `python3 -m unittest discover -s tests -t .` in the folder above."""

import logging

# What clients and handlers log is expected here; tests that look at it do so by assertLogs.
logging.getLogger("hostcall").addHandler(logging.NullHandler())
logging.getLogger("hostcall").propagate = False
# What the loop says of slow steps in its debug mode is about the machine.
logging.getLogger("asyncio").setLevel(logging.ERROR)
