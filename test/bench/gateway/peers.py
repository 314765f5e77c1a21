"""Starts a gateway of the Python world for the bench, and ends with it. Usage: peers.py tensorzero CONFIG | litellm CONFIG PORT"""

import os
import sys
import threading


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    which, config = sys.argv[1], sys.argv[2]
    if which == "litellm":
        from litellm import run_server

        sys.argv = ["litellm", "--config", config, "--host", "127.0.0.1", "--port", sys.argv[3]]
        run_server()
        return
    from types import SimpleNamespace

    import tensorzero

    client = SimpleNamespace(base_url="")
    tensorzero.patch_openai_client(client, config_file=config, async_setup=False)
    print(f"listening: {client.base_url}", flush=True)
    threading.Event().wait()


main()
