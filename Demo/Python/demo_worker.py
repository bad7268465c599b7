#!/usr/bin/env python3
"""The demo's worker in Python: the function hop.python, one hop of a call that goes through several languages.

Usage: demo_worker.py [SOCKET]
"""

import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Sources/Clients/Python/src"))

import hostcall  # noqa: E402

worker = hostcall.Worker(sys.argv[1] if len(sys.argv) > 1 else None, client_name="demo-worker/python")


@worker.function("hop.python")
async def hop(request: hostcall.Request) -> str:
    """`end`: answers. `hold`: waits to be cancelled. Else calls the next language, within the same time and trace."""
    line = f"python call={request.correlation_id} left={round(request.time_left * 1000)}\n"
    word, _, rest = request.text.partition(" ")
    if word == "end":
        return line
    if word == "hold":
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await request.client.publish("hop.cancelled", line, confirm=False)
            raise
    reply = await request.client.call(f"hop.{word}", rest)
    return line + reply.text


if __name__ == "__main__":
    worker.run(on_ready=lambda: print("ready", flush=True))
