"""Serve one GGUF file over HTTP on a loopback port with the llama.cpp server inside xllamacpp.

Contract: listens on 127.0.0.1 only, answers 503 on /health until the model is loaded, ends on SIGTERM and as soon as
standard input reaches its end. The parent holds the other end of that pipe, so the server cannot outlive it.
Bounds: the context is allocated once, at start; no prompt cache grows beside it.
"""

import argparse
import os
import sys
import threading


def main():
    args = parse()
    follow_parent()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    # The server divides its context among the slots; each call gets what one slot holds.
    params.n_ctx = args.context_tokens * args.slots
    params.n_parallel = args.slots
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    # A small model can ramble until the context is full; a caller that sets no limit gets this one.
    params.n_predict = args.answer_tokens
    # Connections that are kept alive hold a thread each; the pool grows beyond this by itself.
    params.n_threads_http = 8
    # Finished prompts would be kept aside, by default up to 8 GiB of them.
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    # No page in a browser may read answers; the only caller is the gateway.
    params.cors_origins = ""
    params.cors_credentials = False
    server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)
    threading.Event().wait()


def parse():
    parser = argparse.ArgumentParser(description="serve one GGUF file on a loopback port")
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--answer-tokens", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def follow_parent():
    """Arrange that this process ends when standard input does."""
    try:
        import fcntl

        # Loading holds the interpreter lock, so a thread alone would notice only afterwards. With O_ASYNC the kernel
        # sends SIGIO when the last writer of the pipe goes, and SIGIO ends a process that does not handle it.
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    except (ImportError, OSError, AttributeError):
        pass
    threading.Thread(target=exit_at_end_of_input, daemon=True).start()


def exit_at_end_of_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
